//! `imagePullSecrets` → logins at registries.
//!
//! <https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use htc_core::workload::spec::RegistryLogin;
use k8s_openapi::api::core::v1::LocalObjectReference;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use super::delivered::Delivered;
use super::refusal::Refusal;

/// The keys under which a Secret holds logins, the newer first.
const KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

#[derive(Deserialize)]
struct Config {
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    /// base64 of `username:password`.
    auth: Option<String>,
}

/// The logins of these Secrets. One that did not come is no obstacle, as with a kubelet: the image may
/// be public.
pub fn logins(
    delivered: &Delivered,
    secrets: &[LocalObjectReference],
    notes: &mut Vec<String>,
) -> Result<Vec<RegistryLogin>, Refusal> {
    let (mut logins, mut seen) = (Vec::new(), BTreeSet::new());
    for (n, LocalObjectReference { name }) in secrets.iter().enumerate() {
        // One that is named a thousand times has no more logins.
        if !seen.insert(name) {
            continue;
        }
        let at = format!("spec.imagePullSecrets[{n}]");
        let Some(secret) = delivered.secrets.get(name) else {
            notes.push(format!("{at} is ignored: the Secret {name:?} did not come with the pod"));
            continue;
        };
        let found = KEYS.iter().find_map(|key| Some((*key, secret.get(*key)?)));
        let auths = found.and_then(|(key, bytes)| auths(key, bytes));
        // Nothing of a secret's content goes into a message.
        let auths = auths.ok_or_else(|| Refusal::new(at, format!("the Secret {name:?} holds no logins")))?;
        logins.extend(auths.into_iter().filter_map(|(registry, auth)| login(&registry, auth)));
    }
    Ok(logins)
}

fn auths(key: &str, bytes: &[u8]) -> Option<BTreeMap<String, Auth>> {
    match key == KEYS[0] {
        true => serde_json::from_slice::<Config>(bytes).ok().map(|config| config.auths),
        false => serde_json::from_slice(bytes).ok(),
    }
}

fn login(registry: &str, auth: Auth) -> Option<RegistryLogin> {
    let Auth { username, password, auth } = auth;
    let (username, password) = match (username, password) {
        (Some(username), Some(password)) => (username, password),
        _ => {
            let text = String::from_utf8(STANDARD.decode(auth?).ok()?).ok()?;
            let (username, password) = text.split_once(':')?;
            (username.to_owned(), password.to_owned())
        }
    };
    // Docker's own name for its hub is a URL.
    let host = registry.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    Some(RegistryLogin { registry: host.to_owned(), username, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(key: &str, content: serde_json::Value) -> Result<Vec<RegistryLogin>, Refusal> {
        let mut delivered = Delivered::default();
        let files = [(key.to_owned(), content.to_string().into_bytes())];
        delivered.secrets.insert("s".to_owned(), files.into());
        logins(&delivered, &[LocalObjectReference { name: "s".to_owned() }], &mut Vec::new())
    }

    #[test]
    fn both_forms_of_a_secret_are_read() {
        let login = |registry: &str| RegistryLogin {
            registry: registry.to_owned(),
            username: "me".to_owned(),
            password: "a:b".to_owned(),
        };
        let new = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("me:a:b") },
            "reg:5000": { "username": "me", "password": "a:b", "email": "x" },
        }});
        assert_eq!(of(".dockerconfigjson", new).unwrap(), [login("docker.io"), login("reg:5000")]);
        let old = json!({ "reg": { "auth": STANDARD.encode("me:a:b") } });
        assert_eq!(of(".dockercfg", old).unwrap(), [login("reg")]);
    }

    #[test]
    fn a_secret_of_another_kind_is_refused_without_its_content() {
        let error = of(".dockerconfigjson", json!("secret words")).unwrap_err().to_string();
        assert_eq!(error, "spec.imagePullSecrets[0]: the Secret \"s\" holds no logins");
    }

    #[test]
    fn a_secret_that_did_not_come_is_noted() {
        let mut notes = Vec::new();
        let names = [LocalObjectReference { name: "x".to_owned() }];
        assert_eq!(logins(&Delivered::default(), &names, &mut notes), Ok(vec![]));
        assert_eq!(notes.len(), 1);
    }
}
