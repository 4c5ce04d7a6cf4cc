//! Questions about the tools, the pool and us in it, as `doctor` asks them.

use std::path::Path;
use std::time::Duration;

use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::schedd;
use crate::limits::DOCTOR_DEADLINE;

/// Every tool that the operator starts.
pub const TOOLS: &[&str] = &[
    "condor_submit",
    "condor_q",
    "condor_qedit",
    "condor_rm",
    "condor_transfer_data",
    "condor_status",
    "condor_ping",
    "condor_history",
];

/// Why the pool does not answer as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not believe who we are: a missing, wrong or expired credential.
    Credential,
    /// It knows us and says no.
    Denied,
    /// Nobody answers at the address.
    Network,
    /// Something answers, but not in time.
    Hangs,
    /// Anything else.
    Other,
}

/// Tells them apart: most tools say the same for a bad credential as for an outage, but not
/// `condor_status` and `condor_ping`.
pub fn trouble(error: &CallError) -> Trouble {
    let message = match error {
        CallError::Deadline { .. } => return Trouble::Hangs,
        CallError::Failed { message, .. } => message,
        CallError::Start { .. }
        | CallError::Died { .. }
        | CallError::TooLong { .. }
        | CallError::Unreadable { .. } => return Trouble::Other,
    };
    let says = |sign: &str| message.contains(sign);
    match () {
        () if says("AUTHENTICATE:") => Trouble::Credential,
        () if says("SECMAN:2010") || says("DENIED") => Trouble::Denied,
        () if says("CEDAR:6001") || says("Failed to connect") || says("unknown host") => Trouble::Network,
        () if says("SECMAN:2007") => Trouble::Hangs,
        () => Trouble::Other,
    }
}

/// The version of the tools: `23.9.6`.
pub async fn version(pool: &Pool) -> Result<String, CallError> {
    let text = ask(&local(pool), "condor_version", &[]).await?;
    Ok(text.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

/// A setting of HTCondor's configuration; none where it is not defined.
pub async fn setting(pool: &Pool, name: &str) -> Result<Option<String>, CallError> {
    defined(ask(&local(pool), "condor_config_val", &[name]).await)
}

/// The same as the schedd itself has it, which tells whoever may READ.
pub async fn schedds_setting(pool: &Pool, name: &str) -> Result<Option<String>, CallError> {
    defined(ask(pool, "condor_config_val", &["-schedd", name]).await)
}

/// A file that lacks a setting is a failure to the tool, a daemon that lacks it is not.
fn defined(answer: Result<String, CallError>) -> Result<Option<String>, CallError> {
    const NOT: &str = "Not defined";
    match answer {
        Err(CallError::Failed { message, .. }) if message.contains(NOT) => Ok(None),
        Ok(value) if value.trim().is_empty() || value.starts_with(NOT) => Ok(None),
        other => other.map(|value| Some(value.trim().to_owned())),
    }
}

/// The version of the schedd that is asked for; none where the collector does not know it.
pub async fn schedd_version(pool: &Pool) -> Option<String> {
    let wanted = pool.schedd.as_deref()?;
    let known = schedd::all(pool).await.ok()?;
    known.iter().find(|schedd| schedd.is_called(wanted))?.number().map(str::to_owned)
}

/// As whom the schedd takes our submissions, and by which method: `alice@site`, `IDTOKENS`.
pub async fn identity(pool: &Pool) -> Result<(String, String), CallError> {
    let text = ask(pool, "condor_ping", &["-verbose", "-type", "SCHEDD", "WRITE"]).await?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    match field("Authorized:").as_str() {
        "TRUE" => Ok((field("Remote Mapping:"), field("Authenticated using:"))),
        _ => Err(CallError::Failed { tool: "condor_ping", message: format!("DENIED: {}", text.trim()) }),
    }
}

/// The line of the user database, without which HTCondor's tools do not know who we are.
pub async fn account(pool: &Pool, uid: u32) -> Result<String, CallError> {
    ask(&local(pool), "getent", &["passwd", &uid.to_string()]).await
}

/// Asks Kerberos whether there is a valid ticket.
pub async fn ticket(pool: &Pool) -> Result<(), CallError> {
    ask(&local(pool), "klist", &["-s"]).await.map(drop)
}

/// What the in-job program says of itself here.
pub async fn sender_version(pool: &Pool, sender: &Path) -> Result<String, CallError> {
    let text = ask(&local(pool), "env", &["--", &sender.display().to_string(), "--version"]).await?;
    Ok(text.trim().to_owned())
}

/// The same tools and environment, without the options that name a schedd.
fn local(pool: &Pool) -> Pool {
    Pool { schedd: None, collector: None, ..pool.clone() }
}

/// Runs a tool for a person, or at a start, and gives what it writes.
pub(super) async fn ask(pool: &Pool, tool: &'static str, arguments: &[&str]) -> Result<String, CallError> {
    let arguments = arguments.iter().map(|&a| a.to_owned()).collect();
    let deadline: Duration = DOCTOR_DEADLINE;
    let out = run(Call { tool, arguments, pool, deadline }).await?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_not_defined_in_whatever_way_the_tool_says_so() {
        let failed =
            |message: &str| Err(CallError::Failed { tool: "condor_config_val", message: message.to_owned() });
        assert_eq!(defined(failed("Not defined: X")).unwrap(), None);
        assert_eq!(defined(Ok("Not defined\n".to_owned())).unwrap(), None);
        assert_eq!(defined(Ok("\n".to_owned())).unwrap(), None);
        assert_eq!(defined(Ok("/home, /data\n".to_owned())).unwrap().as_deref(), Some("/home, /data"));
        assert!(defined(failed("Can't connect to schedd")).is_err());
    }

    #[test]
    fn a_bad_credential_is_told_from_an_outage() {
        let of = |message: &str| {
            trouble(&CallError::Failed { tool: "condor_status", message: message.to_owned() })
        };
        let refused = "Error: communication error; AUTHENTICATE:1003:Failed to authenticate with any method; \
                       AUTHENTICATE:1004:Failed to authenticate using IDTOKENS";
        assert_eq!(of(refused), Trouble::Credential);
        assert_eq!(of("SECMAN:2010:Received \"DENIED\" from server for user bob@x"), Trouble::Denied);
        assert_eq!(of("CEDAR:6001:Failed to connect to <127.0.0.1:1>"), Trouble::Network);
        assert_eq!(of("SECMAN:2007:Read failure during security negotiation."), Trouble::Hangs);
        assert_eq!(of("condor_rm: (null)"), Trouble::Other);
        let late = CallError::Deadline {
            tool: "condor_ping",
            deadline: Duration::from_secs(1),
            after: Duration::from_secs(1),
        };
        assert_eq!(trouble(&late), Trouble::Hangs);
    }
}
