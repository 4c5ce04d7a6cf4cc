//! What callers must show: files with tokens and certificates, and how long those are good.

use jiff::Timestamp;

use super::super::door;
use super::finding::Finding;
use super::secrets;
use crate::config::CallerSettings;

const TOKENS: &str = "callers' tokens";
const TLS: &str = "TLS";
const OWNERS: &str = "callers' pods";

/// Everything about them; nothing where nobody is asked.
pub fn check(settings: &CallerSettings, uid: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    match door::checks(settings) {
        Err(why) => {
            let remedy = "mend the file, or name another: --interlink-token-file, --interlink-oidc-ca";
            findings.push(Finding::failed(TOKENS, format!("{why:#}"), remedy));
        }
        Ok(_) => findings.extend(settings.interlink_token_file.iter().map(|file| {
            let shown = file.display();
            match secrets::open_mode(file, uid) {
                Some(mode) => {
                    let found = format!("{shown} has mode {mode:03o}: others could run jobs in your name");
                    Finding::failed(TOKENS, found, format!("chmod 600 {shown}"))
                }
                None => Finding::ok(TOKENS, format!("{shown} has at least one, for us alone to read")),
            }
        })),
    }
    match door::tls(settings) {
        Err(why) => {
            let remedy = "mend the files, or name others: --interlink-tls-cert, --interlink-tls-key, \
                          --interlink-client-ca";
            findings.push(Finding::failed(TLS, format!("{why:#}"), remedy));
        }
        Ok(_) => {
            let files = settings.interlink_tls_cert.iter().chain(&settings.interlink_client_ca);
            let now = Timestamp::now();
            findings.extend(files.map(|file| secrets::certificate(TLS, file, now)));
        }
    }
    if let (Some(ca), []) = (&settings.interlink_client_ca, &settings.interlink_client_subjects[..]) {
        let found = format!("each certificate that {} has signed lets a caller in", ca.display());
        let remedy = "set --interlink-client-subjects, unless that authority signs for callers only";
        findings.push(Finding::warning(TLS, found, remedy));
    }
    if settings.interlink_shared_pods {
        let remedy = "unset --interlink-shared-pods, unless callers belong together";
        findings.push(Finding::warning(OWNERS, "each caller may read and delete the pods of all", remedy));
    }
    findings
}

/// Without Kubernetes nobody reviews tokens: the start refuses that setting, and it lets nobody in.
pub fn without_kubernetes(settings: &mut CallerSettings) -> Vec<Finding> {
    let users = std::mem::take(&mut settings.interlink_token_review_users);
    let refused = "without Kubernetes no API server reviews tokens: the start ends with that";
    let remedy =
        "unset --interlink-token-review-users, and set --interlink-token-file or --interlink-oidc-issuer";
    if users.is_empty() { Vec::new() } else { vec![Finding::failed(TOKENS, refused, remedy)] }
}
