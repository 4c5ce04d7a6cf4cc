//! `htc-operator doctor` on a bed that is well, and on one where something is wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::client::dialect::Dialect;
use crate::client::transport::{Keys, Transport};
use crate::harness::{AWAY, Bed, HERE, kubeconfig, kubectl, on_bed, until, with_operator};
use crate::interlink::living::free_port;

/// The in-job program's opposite: it needs libraries.
const DYNAMIC: &str = env!("CARGO_BIN_EXE_htc-operator");

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn where_all_is_well_nothing_is_found_with_and_without_an_operator() {
    with_operator(async |bed| {
        for running in [true, false] {
            if !running {
                bed.kill().await;
            }
            let (findings, success) = doctor(bed, &[]).await;
            let bad: Vec<_> = findings.iter().filter(|f| f["level"] != "ok").collect();
            assert!(bad.is_empty() && success, "{bad:#?}");
            let use_of_data = if running { "is used by an operator" } else { "is not in use" };
            for (check, found) in [
                ("data folder", use_of_data),
                ("in-job program", "static"),
                ("API rights", "all"),
                ("CRD", "in our version"),
                ("submission", "as alice@"),
                ("events URL", "reached http://127.0.0.1:"),
            ] {
                let has = |f: &&Value| f["check"] == check && f["found"].as_str().unwrap().contains(found);
                assert!(findings.iter().any(|f| has(&f)), "{check} {found}: {findings:#?}");
            }
        }
        assert!(left_behind(bed).is_empty(), "{:?}", left_behind(bed));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_is_wrong_with_files_is_named_with_its_remedy() {
    on_bed(async |bed: &mut Bed| {
        failing(bed, "data folder", "No such file", "mkdir -m 700").await;
        fs::create_dir(bed.data()).unwrap();
        mode(&bed.data(), 0o755);
        failing(bed, "data folder", "mode 755", "chmod 700").await;
        mode(&bed.data(), 0o700);

        let key = bed.folder.join("master.key");
        mode(&key, 0o644);
        failing(bed, "master key", "mode 644", "chmod 600").await;
        mode(&key, 0o600);

        let sender = bed.settings["HTC_SENDER"].clone();
        bed.set("HTC_SENDER", Some(DYNAMIC));
        failing(bed, "in-job program", "dynamically linked", "--sender").await;
        bed.set("HTC_SENDER", Some("/no/such/htc-sender"));
        failing(bed, "in-job program", "/no/such/htc-sender", "--sender").await;
        bed.set("HTC_SENDER", Some(&sender));

        let file = token(bed);
        mode(&file, 0o644);
        bed.set("HTC_INTERLINK_LISTEN", Some(&format!("127.0.0.1:{}", free_port())));
        bed.set("HTC_INTERLINK_TOKEN_FILE", file.to_str());
        failing(bed, "callers' tokens", "mode 644", "chmod 600").await;
        mode(&file, 0o600);

        let (findings, success) = doctor(bed, &["--no-test-job"]).await;
        assert!(success, "{findings:#?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_is_wrong_with_the_pool_is_named_with_its_remedy() {
    on_bed(async |bed: &mut Bed| {
        fs::create_dir(bed.data()).unwrap();
        mode(&bed.data(), 0o700);
        bed.set("HTC_SCHEDD_NAME", Some("nobody@nowhere"));
        failing(bed, "schedd", "knows no nobody@nowhere", "test@pool").await;
        bed.set("HTC_SCHEDD_NAME", None);

        bed.pool_away(AWAY);
        failing(bed, "collector", "does not answer", "network").await;

        // The pool is there, but takes only tokens, and ours is none: not an outage.
        bed.pool_away(HERE);
        let tokens = bed.folder.join("tokens.d");
        fs::create_dir(&tokens).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub": "alice@site", "iss": "site", "iat": 1, "exp": 2}"#);
        fs::write(tokens.join("old"), format!("e30.{claims}.c2ln\n")).unwrap();
        mode(&tokens.join("old"), 0o600);
        bed.set("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS", Some("IDTOKENS"));
        bed.set("_CONDOR_SEC_CLIENT_AUTHENTICATION", Some("REQUIRED"));
        bed.set("_CONDOR_SEC_DEFAULT_AUTHENTICATION", Some("REQUIRED"));
        bed.set("_CONDOR_SEC_TOKEN_DIRECTORY", tokens.to_str());
        failing(bed, "token", "expired", "condor_token_fetch").await;
        failing(bed, "collector", "does not believe who we are", "credentials above").await;
        mode(&tokens.join("old"), 0o644);
        failing(bed, "token", "in silence", "mode 600").await;
    })
    .await;
}

/// Whatever the bed has: a newer HTCondor, which answers as it is told.
#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn where_jobs_can_name_files_the_limit_of_folders_is_looked_at() {
    on_bed(async |bed: &mut Bed| {
        fs::create_dir(bed.data()).unwrap();
        mode(&bed.data(), 0o700);
        bed.replace_tool("condor_version", "#!/bin/sh\necho '$CondorVersion: 25.14.1 2026-10-16 $'\n");
        for (answer, level, found) in [
            ("echo /software", "ok", "LIMIT_DIRECTORY_ACCESS is /software"),
            ("echo Not defined", "warning", "CommonInputFiles"),
            ("echo DENIED >&2; exit 1", "warning", "does not tell LIMIT_DIRECTORY_ACCESS"),
        ] {
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in *-schedd*LIMIT_DIRECTORY_ACCESS) {answer} ;; \
                 *) exec /usr/bin/condor_config_val \"$@\" ;; esac\n"
            );
            bed.replace_tool("condor_config_val", &script);
            let (findings, success) = doctor(bed, &["--no-test-job"]).await;
            let of_it: Vec<_> = findings.iter().filter(|f| f["check"] == "files of jobs").collect();
            assert!(success && of_it.len() == 1, "{findings:#?}");
            assert_eq!(of_it[0]["level"], level, "{of_it:#?}");
            assert!(of_it[0]["found"].as_str().unwrap().contains(found), "{of_it:#?}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn each_right_that_lacks_is_named() {
    on_bed(async |bed: &mut Bed| {
        fs::create_dir(bed.data()).unwrap();
        mode(&bed.data(), 0o700);
        let namespace = bed.namespace.clone();
        kubectl(&["create", "serviceaccount", "nobody", "-n", &namespace], "").await.unwrap();
        let token = kubectl(&["create", "token", "nobody", "-n", &namespace], "").await.unwrap();
        let mut config: Value =
            serde_saphyr::from_str(&fs::read_to_string(kubeconfig("operator")).unwrap()).unwrap();
        config["users"][0]["user"]["token"] = token.trim().into();
        let file = bed.folder.join("kubeconfig");
        fs::write(&file, config.to_string()).unwrap();
        bed.set("KUBECONFIG", file.to_str());
        failing(bed, "API rights", &format!("patch htcjobs/status in {namespace}"), "deploy/rbac.yaml").await;
        failing(bed, "API rights", "get namespaces", "deploy/rbac.yaml").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_way_from_the_workers_that_leads_nowhere_is_named() {
    with_operator(async |bed| {
        let url = bed.settings["HTC_EVENTS_URL"].clone();
        bed.set("HTC_EVENTS_URL", Some("http://127.0.0.1:1"));
        let (findings, success) = doctor(bed, &[]).await;
        assert_failed(&findings, success, "events URL", "cannot reach http://127.0.0.1:1/", "firewall");

        // The API server is no operator.
        bed.set("HTC_EVENTS_URL", Some(&format!("http://127.0.0.1:{}", bed.health_port)));
        let (findings, success) = doctor(bed, &[]).await;
        assert_failed(&findings, success, "events URL", "it answered 404", "firewall");

        let other = bed.folder.join("other.key");
        fs::write(&other, format!("k1:{}\n", STANDARD.encode([7; 32]))).unwrap();
        mode(&other, 0o600);
        bed.set("HTC_EVENTS_URL", Some(&url));
        bed.set("HTC_MASTER_KEY_FILE", other.to_str());
        let (findings, success) = doctor(bed, &[]).await;
        assert_failed(&findings, success, "events URL", "another master key", "firewall");
        assert!(left_behind(bed).is_empty(), "{:?}", left_behind(bed));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_endpoint_that_is_well_is_found_well_before_its_first_start_and_while_it_runs() {
    on_bed(async |bed: &mut Bed| {
        let (port, keys) = (free_port(), Keys::make(&bed.folder));
        bed.set("HTC_INTERLINK_TLS_CERT", keys.file("server", "crt").to_str());
        bed.set("HTC_INTERLINK_TLS_KEY", keys.file("server", "key").to_str());
        bed.set("HTC_INTERLINK_TOKEN_FILE", token(bed).to_str());
        for running in [false, true] {
            if running {
                bed.spawn_as(&["interlink", "--port", &port]);
                let transport = Transport::tls(&format!("127.0.0.1:{port}"), &keys, false);
                let answers = async || transport.send(&Dialect::NEWEST.ping()).await.map(drop);
                until("the endpoint to answer", answers).await;
            }
            let (lines, success) = endpoint(bed, &port).await;
            // Certificates of a test are good for two days; who is behind TLS cannot be asked.
            let known = ["ok ", "warning  TLS", "warning  listener"];
            let bad: Vec<&String> =
                lines.iter().filter(|l| !known.iter().any(|known| l.starts_with(known))).collect();
            assert!(success && bad.is_empty(), "{lines:#?}");
            let of_listener = if running { "the operator that runs is taken for it" } else { "is free" };
            let of_data = if running { "used by an operator that runs" } else { "made at the first start" };
            for words in [of_data, of_listener, "static", "HTCondor ", "as alice@", "for us alone to read"] {
                assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:#?}");
            }
            assert_eq!(bed.data().exists(), running, "it only looks");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_is_wrong_with_an_endpoint_is_named_with_its_remedy() {
    on_bed(async |bed: &mut Bed| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (used, port) = (taken.local_addr().unwrap().port().to_string(), free_port());
        let (file, keys) = (token(bed), Keys::make(&bed.folder));
        let failing = async |bed: &mut Bed, port: &str, check: &str, found: &str, remedy: &str| {
            let (lines, success) = endpoint(bed, port).await;
            let start = format!("failed   {check}: ");
            let is = |line: &&String| {
                let (is, does) = line.split_once(" -> ").unwrap_or_default();
                is.starts_with(&start) && is.contains(found) && does.contains(remedy)
            };
            let failed = lines.iter().filter(|line| line.starts_with("failed")).count();
            assert!(!success && failed == 1 && lines.iter().any(|line| is(&line)), "{found}: {lines:#?}");
        };
        failing(bed, &used, "listener", "another program listens", "ss -ltnp").await;

        bed.set("HTC_INTERLINK_TOKEN_FILE", file.to_str());
        mode(&file, 0o644);
        failing(bed, &port, "callers' tokens", "mode 644", "chmod 600").await;
        fs::write(&file, "\n").unwrap();
        failing(bed, &port, "callers' tokens", "there is no token", "--interlink-token-file").await;
        bed.set("HTC_INTERLINK_TOKEN_FILE", None);

        bed.set("HTC_INTERLINK_TLS_CERT", keys.file("server", "crt").to_str());
        bed.set("HTC_INTERLINK_TLS_KEY", keys.file("ca", "key").to_str());
        failing(bed, &port, "TLS", "server.crt", "mend the files").await;
        bed.set("HTC_INTERLINK_TLS_CERT", None);
        bed.set("HTC_INTERLINK_TLS_KEY", None);

        bed.set("HTC_INTERLINK_LISTEN", Some(&format!("0.0.0.0:{}", free_port())));
        failing(bed, &port, "listener", "would run jobs in your name", "choose").await;
        bed.set("HTC_INTERLINK_LISTEN", None);

        bed.set("HTC_INTERLINK_TOKEN_REVIEW_USERS", Some("system:serviceaccount:a:b"));
        failing(bed, &port, "callers' tokens", "no API server reviews", "--interlink-token-file").await;
        bed.set("HTC_INTERLINK_TOKEN_REVIEW_USERS", None);

        bed.set("HTC_INTERLINK_LISTEN", Some(&format!("unix:{}", file.display())));
        failing(bed, &port, "listener", "no socket", "another path").await;
        bed.set("HTC_INTERLINK_LISTEN", None);

        bed.set("HTC_HEALTH_LISTEN", Some(&format!("127.0.0.1:{used}")));
        failing(bed, &port, "health", "another program listens", "ss -ltnp").await;
        bed.set("HTC_HEALTH_LISTEN", None);

        let configuration = bed.folder.join("SidecarConfig.yaml");
        fs::write(&configuration, "DataRootFolder: /proc/nowhere\n").unwrap();
        bed.set("INTERLINKCONFIGPATH", configuration.to_str());
        failing(bed, &port, "DataRootFolder", "cannot be made", "ReadWritePaths").await;
        bed.set("INTERLINKCONFIGPATH", None);

        let proxy = bed.folder.join("proxy");
        let old = rcgen::date_time_ymd(2020, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_after = old;
        fs::write(&proxy, params.self_signed(&key).unwrap().pem()).unwrap();
        mode(&proxy, 0o600);
        bed.set("HTC_PROXY", proxy.to_str());
        failing(bed, &port, "X509 proxy", "expired", "renew").await;
        bed.set("HTC_PROXY", None);

        bed.set("HTC_SCHEDD_NAME", Some("nobody@nowhere"));
        failing(bed, &port, "schedd", "knows no nobody@nowhere", "--schedd-name").await;
    })
    .await;
}

/// A file with a token, for us alone.
fn token(bed: &Bed) -> PathBuf {
    let file = bed.folder.join("token");
    fs::write(&file, "a-token-of-some-length\n").unwrap();
    mode(&file, 0o600);
    file
}

/// What `interlink --doctor` says, a line each, and whether it ended well.
async fn endpoint(bed: &Bed, port: &str) -> (Vec<String>, bool) {
    let output = bed.command(&["interlink", "--port", port, "--doctor"]).output().await.unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(str::to_owned).collect(), output.status.success())
}

/// Runs it for programs; gives the findings, and whether it ended well.
async fn doctor(bed: &Bed, arguments: &[&str]) -> (Vec<Value>, bool) {
    let output = bed.command(&[&["doctor", "-o", "json"], arguments].concat()).output().await.unwrap();
    let findings = serde_json::from_slice(&output.stdout);
    let findings =
        findings.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&output.stderr)));
    (findings, output.status.success())
}

/// Without a test job, it fails at this check with these words.
async fn failing(bed: &Bed, check: &str, found: &str, remedy: &str) {
    let (findings, success) = doctor(bed, &["--no-test-job"]).await;
    assert_failed(&findings, success, check, found, remedy);
}

fn assert_failed(findings: &[Value], success: bool, check: &str, found: &str, remedy: &str) {
    let says = |finding: &Value, field: &str, words: &str| {
        finding[field].as_str().is_some_and(|s| s.contains(words))
    };
    let is = |f: &&Value| {
        f["check"] == check && f["level"] == "failed" && says(f, "found", found) && says(f, "remedy", remedy)
    };
    assert!(findings.iter().any(|f| is(&f)), "{check}: {found} -> {remedy}: {findings:#?}");
    assert!(!success);
}

/// Folders of test jobs.
fn left_behind(bed: &Bed) -> Vec<String> {
    let names =
        fs::read_dir(bed.data()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("doctor-")).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
