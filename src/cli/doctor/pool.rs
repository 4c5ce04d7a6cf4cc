//! The pool: its tools, who we are to it, and whether its schedd takes jobs from us.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::finding::Finding;
use super::secrets;
use crate::cli::operator;
use crate::condor::cli::CallError;
use crate::condor::inspect::{self, TOOLS, Trouble, trouble};
use crate::condor::pool::Pool;
use crate::condor::{schedd, status};
use crate::config::PoolSettings;

/// What the last question is called in findings: whether the schedd takes jobs from us.
pub const SUBMISSION: &str = "submission";

/// HTCondor's setting for the folders whose files jobs may bring or write.
const LIMIT: &str = "LIMIT_DIRECTORY_ACCESS";

/// Everything about it; the schedd only when the collector knows it.
pub async fn check(pool: &Pool, uid: u32) -> Vec<Finding> {
    let mut findings = vec![tools(pool).await, user(pool, uid).await];
    findings.extend(credentials(pool, uid).await);
    match known_schedd(pool).await {
        Err(failed) => findings.push(failed),
        Ok((known, version)) => {
            findings.extend([known, identity(pool).await]);
            if has_common_files(&version) {
                findings.push(files(inspect::schedds_setting(pool, LIMIT).await));
            }
        }
    }
    findings
}

/// Whether any slot meets what is asked of the workers of jobs with an image.
pub async fn workers(pool: &Pool, settings: &PoolSettings) -> Vec<Finding> {
    let check = "workers";
    let remedy = "look what slots say with condor_status -long, and change --worker-requirements";
    match operator::worker_requirements(settings) {
        Err(why) => vec![Finding::failed(check, why.to_string(), remedy)],
        Ok(None) => Vec::new(),
        Ok(Some(text)) => vec![match status::matching(pool, &text).await {
            Ok(0) => Finding::failed(check, format!("no slot of the pool meets {text}"), remedy),
            Ok(slots) => Finding::ok(check, format!("{slots} slots meet {text}")),
            Err(why) => {
                Finding::warning(check, format!("which slots meet {text} cannot be told: {why}"), remedy)
            }
        }],
    }
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

/// What was found of it, and its version; or why it cannot be used.
async fn known_schedd(pool: &Pool) -> Result<(Finding, String), Finding> {
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
        Err(why) => return Err(refused("collector", &collector, &why)),
    };
    let names: Vec<&str> = known.iter().map(|schedd| schedd.name.as_str()).collect();
    let found = pool.schedd.as_ref().map(|wanted| known.iter().find(|schedd| schedd.is_called(wanted)));
    match found {
        Some(None) => Err(Finding::failed(
            check,
            format!("{collector} knows no {}", pool.schedd.as_deref().unwrap_or_default()),
            format!("set --schedd-name to one that it knows: {}", names.join(", ")),
        )),
        Some(Some(schedd)) => {
            let version = schedd.number().unwrap_or("of unknown version");
            let found = format!("{collector} knows {} ({version})", schedd.name);
            Ok((Finding::ok(check, found), version.to_owned()))
        }
        None if known.is_empty() => Err(Finding::failed(
            check,
            format!("{collector} knows no schedd"),
            "start one, or name another pool with --collector",
        )),
        None => {
            let found = format!("the one of this host; {collector} knows {}", names.join(", "));
            // It was installed with the tools.
            let version = inspect::version(pool).await.unwrap_or_default();
            Ok((Finding::ok(check, found), version))
        }
    }
}

/// Whether a job's ad can name files of the access point that go to its machine, as from 25.2 on.
fn has_common_files(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(25), Some(2))
}

/// What such an ad can reach. The operator refuses the attributes; this is the second lock on the door.
fn files(limit: Result<Option<String>, CallError>) -> Finding {
    let check = "files of jobs";
    let remedy = format!(
        "ask the pool's admin to set {LIMIT} on the access point to folders that hold nothing of this account's; SPOOL \
         need not be among them"
    );
    match limit {
        Ok(Some(folders)) => Finding::ok(check, format!("{LIMIT} is {folders}")),
        Ok(None) => Finding::warning(
            check,
            format!(
                "{LIMIT} is not set: that a job's attributes (CommonInputFiles) bring it any file of this account's, \
                 such as the master key, is prevented by the operator alone"
            ),
            remedy,
        ),
        Err(why) => Finding::warning(check, format!("the schedd does not tell {LIMIT} ({why})"), remedy),
    }
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
    fn the_limit_of_folders_is_looked_at_where_jobs_can_name_files() {
        for version in ["25.2.0", "25.14.1", "26.0.1"] {
            assert!(has_common_files(version), "{version}");
        }
        for version in ["25.1.9", "23.9.6", "of unknown version", "", "25"] {
            assert!(!has_common_files(version), "{version}");
        }
    }

    #[test]
    fn a_limit_of_folders_that_is_missing_or_untold_is_a_warning_with_its_reason() {
        let is_well = |finding: &Finding| finding.to_string().starts_with("ok ");
        assert!(is_well(&files(Ok(Some("/software".to_owned())))));
        let (missing, untold) = (
            files(Ok(None)),
            files(Err(CallError::Failed { tool: "condor_config_val", message: "DENIED".to_owned() })),
        );
        assert!(missing.to_string().contains("CommonInputFiles"), "{missing}");
        assert!(untold.to_string().contains("DENIED"), "{untold}");
        for finding in [missing, untold] {
            assert!(finding.to_string().starts_with("warning "), "{finding}");
            assert!(
                finding.to_string().contains("-> ask the pool's admin to set LIMIT_DIRECTORY"),
                "{finding}"
            );
        }
    }

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
