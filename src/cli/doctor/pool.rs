//! The pool: its tools, who we are to it, and whether its schedd takes jobs from us.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::finding::Finding;
use super::secrets;
use crate::condor::cli::CallError;
use crate::condor::inspect::{self, TOOLS, Trouble, trouble};
use crate::condor::pool::Pool;
use crate::condor::schedd;

/// What the last question is called in findings: whether the schedd takes jobs from us.
pub const SUBMISSION: &str = "submission";

/// Everything about it; the schedd only when the collector knows it.
pub async fn check(pool: &Pool, uid: u32) -> Vec<Finding> {
    let mut findings = vec![tools(pool).await, user(pool, uid).await];
    findings.extend(credentials(pool, uid).await);
    let schedd = submits_to(pool).await;
    let answers = !schedd.has_failed();
    findings.push(schedd);
    if answers {
        findings.push(identity(pool).await);
    }
    findings
}

async fn tools(pool: &Pool) -> Finding {
    let check = "tools";
    let remedy = "install HTCondor's client tools and put them in PATH";
    let missing: Vec<&str> = TOOLS.iter().copied().filter(|tool| !is_in_path(pool, tool)).collect();
    if !missing.is_empty() {
        return Finding::failed(check, format!("{} not found in PATH", missing.join(", ")), remedy);
    }
    match inspect::version(pool).await {
        Ok(version) => Finding::ok(check, format!("HTCondor {version}")),
        Err(why) => Finding::failed(check, why.to_string(), remedy),
    }
}

fn is_in_path(pool: &Pool, tool: &str) -> bool {
    let path = variable(pool, "PATH").unwrap_or_default();
    path.split(':').any(|folder| Path::new(folder).join(tool).is_file())
}

fn variable<'a>(pool: &'a Pool, name: &str) -> Option<&'a str> {
    pool.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

async fn user(pool: &Pool, uid: u32) -> Finding {
    let check = "user";
    if uid == 0 {
        let remedy = "run the operator as an ordinary user";
        return Finding::failed(check, "is root, for whom condor_submit does not work", remedy);
    }
    match inspect::account(pool, uid).await {
        Ok(line) => {
            let name = line.split(':').next().unwrap_or_default();
            Finding::ok(check, format!("is {name} ({uid})"))
        }
        Err(CallError::Start { .. }) => Finding::warning(
            check,
            format!("is {uid}; whether it has a name cannot be told without getent"),
            "see that /etc/passwd has a line for it",
        ),
        Err(_) => Finding::failed(
            check,
            format!("{uid} has no passwd entry, without which HTCondor's tools do not know who we are"),
            format!("add a line to /etc/passwd: htc:x:{uid}:{uid}::/tmp:/bin/false"),
        ),
    }
}

async fn credentials(pool: &Pool, uid: u32) -> Vec<Finding> {
    let now = Timestamp::now();
    let mut findings = Vec::new();
    match inspect::setting(pool, "SEC_TOKEN_DIRECTORY").await {
        Err(why) => {
            let remedy = "give the right file with --condor-config or CONDOR_CONFIG";
            findings.push(Finding::failed("configuration", why.to_string(), remedy));
        }
        Ok(setting) => {
            let home = Path::new(variable(pool, "HOME").unwrap_or("/")).join(".condor/tokens.d");
            findings.extend(secrets::tokens(&setting.map_or(home, PathBuf::from), uid, now));
        }
    }
    if let Some(file) = variable(pool, "BEARER_TOKEN_FILE") {
        findings.push(secrets::token(Path::new(file), now));
    }
    if let Some(file) = variable(pool, "X509_USER_PROXY") {
        let proxy = secrets::private("X509 proxy", Path::new(file), uid);
        let is_there = !proxy.has_failed();
        findings.push(proxy);
        if is_there {
            findings.push(secrets::certificate("X509 proxy", Path::new(file), now));
        }
    }
    if let Some(cache) = variable(pool, "KRB5CCNAME") {
        let remedy = "kinit, or let a sidecar renew it";
        findings.push(match inspect::ticket(pool).await {
            Ok(()) => Finding::ok("Kerberos", format!("{cache} has a valid ticket")),
            Err(why @ CallError::Start { .. }) => {
                Finding::warning("Kerberos", why.to_string(), "install klist")
            }
            Err(_) => Finding::failed("Kerberos", format!("{cache} has no valid ticket"), remedy),
        });
    }
    findings
}

async fn submits_to(pool: &Pool) -> Finding {
    let check = "schedd";
    let collector = match &pool.collector {
        Some(collector) => collector.clone(),
        None => {
            let setting = inspect::setting(pool, "COLLECTOR_HOST").await;
            setting.ok().flatten().unwrap_or_else(|| "no collector".to_owned())
        }
    };
    let known = match schedd::all(pool).await {
        Ok(known) => known,
        Err(why) => return refused("collector", &collector, &why),
    };
    let names: Vec<&str> = known.iter().map(|schedd| schedd.name.as_str()).collect();
    let found = pool.schedd.as_ref().map(|wanted| known.iter().find(|schedd| schedd.is_called(wanted)));
    match found {
        Some(None) => Finding::failed(
            check,
            format!("{collector} knows no {}", pool.schedd.as_deref().unwrap_or_default()),
            format!("set --schedd-name to one that it knows: {}", names.join(", ")),
        ),
        Some(Some(schedd)) => Finding::ok(
            check,
            format!("{collector} knows {} ({})", schedd.name, number(&schedd.condor_version)),
        ),
        None if known.is_empty() => Finding::failed(
            check,
            format!("{collector} knows no schedd"),
            "start one, or name another pool with --collector",
        ),
        None => Finding::ok(check, format!("the one of this host; {collector} knows {}", names.join(", "))),
    }
}

/// `$CondorVersion: 23.9.6 …` → `23.9.6`.
fn number(version: &str) -> &str {
    version.split_whitespace().nth(1).unwrap_or("of unknown version")
}

async fn identity(pool: &Pool) -> Finding {
    match inspect::identity(pool).await {
        Ok((identity, method)) => {
            Finding::ok(SUBMISSION, format!("the schedd takes jobs from us as {identity} by {method}"))
        }
        Err(why) => refused(SUBMISSION, pool.schedd.as_deref().unwrap_or("the schedd of this host"), &why),
    }
}

fn refused(check: &'static str, who: &str, why: &CallError) -> Finding {
    let (what, remedy) = match trouble(why) {
        Trouble::Credential => (
            "does not believe who we are",
            "look at the credentials above: a missing, wrong or expired one all look like this",
        ),
        Trouble::Denied => {
            ("knows us and says no", "ask the pool's admin for READ and WRITE for this identity")
        }
        Trouble::Network => {
            ("does not answer", "look at the address, the network and whether HTCondor runs there")
        }
        Trouble::Hangs => ("hangs", "ask the pool's admin: it takes connections and does not answer"),
        Trouble::Other => ("gives no answer", "run the tool by hand, as this user"),
    };
    // Tools explain themselves at length; the beginning tells.
    let said: String = why.to_string().chars().take(200).collect();
    Finding::failed(check, format!("{who} {what} ({said})"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whether_it_is_the_credential_or_the_network() {
        let of = |message: &str| {
            let why = CallError::Failed { tool: "condor_status", message: message.to_owned() };
            refused("collector", "cm.example", &why).to_string()
        };
        assert!(of("AUTHENTICATE:1003:Failed").contains("credentials above"));
        assert!(of("CEDAR:6001:Failed to connect to <x>").contains("does not answer"));
    }
}
