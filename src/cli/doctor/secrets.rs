//! Files that hold secrets: who may read them, and until when they are good.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::finding::Finding;
use crate::engine::keys::MasterKeys;
use crate::engine::signing;
use crate::interlink::credential::certificate_end;
use crate::limits::EXPIRY_WARNED;

const KEY: &str = "master key";
const TOKEN: &str = "token";

/// The file of the master keys, and whether jobs of this data folder have others.
pub fn master_key(file: &Path, data: &Path, uid: u32) -> Finding {
    let keys = match MasterKeys::read(file) {
        Ok(keys) => keys,
        Err(why) => {
            let make = "(printf k1:; head -c 32 /dev/urandom | base64)";
            let remedy = format!("umask 077; {make} > {}", file.display());
            return Finding::failed(KEY, why.to_string(), remedy);
        }
    };
    // What cannot be read of the database is told of the data folder.
    let missing = signing::missing_keys(data, &keys).unwrap_or_default();
    match open_mode(file, uid) {
        Some(mode) => Finding::failed(
            KEY,
            format!("{} has mode {mode:03o}: others could sign reports", file.display()),
            format!("chmod 600 {}", file.display()),
        ),
        None if !missing.is_empty() => Finding::warning(KEY, signing::sentence(&missing), signing::REMEDY),
        None => Finding::ok(KEY, format!("{} signs with {:?}", file.display(), keys.signing().0)),
    }
}

/// The mode of a file that others can read.
pub fn open_mode(file: &Path, uid: u32) -> Option<u32> {
    let meta = fs::metadata(file).ok()?;
    let mode = meta.mode() & 0o777;
    // A mounted Secret belongs to root, and to a group that only we are in.
    let mounted = meta.uid() == 0 && uid != 0 && mode & 0o037 == 0;
    (mode & 0o077 != 0 && !mounted).then_some(mode)
}

/// A file with certificates, in PEM: until when all of them are good.
pub fn certificate(check: &'static str, file: &Path, now: Timestamp) -> Finding {
    let (shown, renew) = (file.display(), "renew it; a new file counts soon, without a restart");
    let end = fs::read(file).ok().and_then(|pem| certificate_end(&pem));
    let Some(left) = end.map(|end| end - now.as_second()) else {
        return Finding::failed(check, format!("{shown} has no certificate that can be read"), renew);
    };
    let warned = i64::try_from(EXPIRY_WARNED.as_secs()).unwrap_or(i64::MAX);
    match left {
        left if left <= 0 => Finding::failed(check, format!("{shown} expired {} s ago", -left), renew),
        left if left < warned => {
            Finding::warning(check, format!("{shown} expires in {} minutes", left / 60), renew)
        }
        left => Finding::ok(check, format!("{shown} is good for {} days", left / 86_400)),
    }
}

/// The tokens in a folder of HTCondor's; a file that others can read it passes over in silence.
pub fn tokens(folder: &Path, uid: u32, now: Timestamp) -> Vec<Finding> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![Finding::ok(TOKEN, format!("none in {}", folder.display()))];
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|p| p.is_file()).collect();
    files.sort();
    if files.is_empty() {
        return vec![Finding::ok(TOKEN, format!("none in {}", folder.display()))];
    }
    files.iter().map(|file| private_token(file, uid, now)).collect()
}

fn private_token(file: &Path, uid: u32, now: Timestamp) -> Finding {
    let shown = file.display();
    match fs::metadata(file) {
        Ok(meta) if meta.uid() != uid || meta.mode() & 0o077 != 0 => Finding::failed(
            TOKEN,
            format!(
                "{shown} belongs to user {} with mode {:03o}: HTCondor passes it over in silence",
                meta.uid(),
                meta.mode() & 0o777
            ),
            format!("copy it to a file of user {uid} with mode 600"),
        ),
        _ => token(file, now),
    }
}

/// A file with a token: until when it is good.
pub fn token(file: &Path, now: Timestamp) -> Finding {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(why) => {
            return Finding::failed(TOKEN, format!("{shown}: {why}"), "give this user the right to read it");
        }
    };
    match text.split_whitespace().next().and_then(claims) {
        None => Finding::failed(TOKEN, format!("{shown} is no token"), "fetch a new one: condor_token_fetch"),
        Some(claims) => judge_times(&shown.to_string(), &claims, now),
    }
}

/// A file that only we may read, such as an X509 proxy.
pub fn private(check: &'static str, file: &Path, uid: u32) -> Finding {
    let shown = file.display();
    match fs::metadata(file) {
        Err(why) => {
            Finding::failed(check, format!("{shown}: {why}"), "make a new one, or unset its variable")
        }
        Ok(meta) if meta.uid() != uid || meta.mode() & 0o077 != 0 => Finding::failed(
            check,
            format!("{shown} belongs to user {} with mode {:03o}", meta.uid(), meta.mode() & 0o777),
            format!("copy it to a file of user {uid} with mode 600"),
        ),
        Ok(_) => Finding::ok(check, format!("{shown} is ours alone")),
    }
}

/// What a token says of itself; nobody checks its signature here.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    iss: String,
    iat: Option<i64>,
    exp: Option<i64>,
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn judge_times(file: &str, claims: &Claims, now: Timestamp) -> Finding {
    let Claims { sub, iss, iat, exp } = claims;
    let who = format!("{file} ({sub} from {iss})");
    let renew = "fetch a new one: condor_token_fetch";
    let left = exp.map(|exp| exp - now.as_second());
    let warned = i64::try_from(EXPIRY_WARNED.as_secs()).unwrap_or(i64::MAX);
    match left {
        Some(left) if left <= 0 => Finding::failed(TOKEN, format!("{who} expired {} s ago", -left), renew),
        _ if iat.is_some_and(|iat| iat > now.as_second()) => {
            Finding::failed(TOKEN, format!("{who} is from the future"), "set the clock of this machine")
        }
        Some(left) if left < warned => {
            Finding::warning(TOKEN, format!("{who} expires in {} minutes", left / 60), renew)
        }
        Some(left) => Finding::ok(TOKEN, format!("{who} is good for {} days", left / 86_400)),
        None => Finding::ok(TOKEN, format!("{who} does not expire")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn judged(claims: &str, mode: u32) -> Finding {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims))).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let uid = fs::metadata(&file).unwrap().uid();
        tokens(folder.path(), uid, Timestamp::from_second(NOW).unwrap()).remove(0)
    }

    #[test]
    fn a_token_is_judged_by_its_times_and_its_mode() {
        let good = r#"{"sub": "alice@site", "iss": "site", "exp": 1900000000}"#;
        assert!(judged(good, 0o600).found.contains("alice@site from site) is good for 1157 days"));
        assert!(judged(good, 0o640).found.contains("in silence"));
        assert!(judged(r#"{"exp": 1799999999}"#, 0o600).found.contains("expired 1 s ago"));
        assert!(judged(r#"{"iat": 1800000100}"#, 0o600).found.contains("future"));
        assert!(judged("nonsense", 0o600).has_failed());
        let soon = judged(r#"{"exp": 1800003600}"#, 0o400);
        assert!(!soon.has_failed() && soon.found.contains("60 minutes"), "{soon}");
        assert!(judged("{}", 0o600).found.contains("does not expire"));
    }

    #[test]
    fn a_master_key_that_others_can_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(master_key(&file, folder.path(), 7).has_failed());
        fs::write(&file, format!("k1:{}\n", "A".repeat(44))).unwrap();
        let mode = |mode| fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o600);
        assert!(!master_key(&file, folder.path(), 7).has_failed(), "{}", master_key(&file, folder.path(), 7));
        mode(0o644);
        assert!(master_key(&file, folder.path(), 7).found.contains("644"));
        fs::write(&file, "k1:short").unwrap();
        assert!(master_key(&file, folder.path(), 7).has_failed());
    }
}
