//! Old command lines and configuration files, one of each age, with the real binary: it starts with them as
//! they are, does what they say, and tells what it does not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use super::callers::{Authority, Tls, with_certificate};
use crate::endpoint::{Caller, Endpoint, free_port};
use crate::tools::state::State;

super::claims![
    the_first_sidecar_with_its_file_and_variables,
    the_plugin_of_0_5_with_a_token,
    the_recipe_of_0_6_from_ping_to_delete,
    the_api_server_of_0_6_with_tls_and_its_plugins_port,
    without_any_flag_a_socket_for_us_alone,
    the_identity_outlives_the_data_folder,
    a_dummy_job_sleeps_in_the_place_of_the_containers,
    what_becomes_of_each_key_is_explained_and_nothing_is_started,
    a_flag_counts_more_than_our_variable_than_an_old_one_than_a_file,
    a_file_that_was_named_must_be_there_and_readable,
    an_expired_token_fails_the_ping_only_where_a_setting_says_so,
];

const UID: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

fn recipe_pod() -> Value {
    json!({
        "metadata": { "name": "test-pod", "namespace": "default", "uid": UID },
        "spec": { "containers": [{
            "name": "busybox", "image": "docker://busybox:latest", "command": ["sleep", "30"],
            "resources": { "requests": { "cpu": "1", "memory": "100Mi" } },
        }] },
    })
}

async fn ask(base: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, text) =
        Caller::default().call(method, &format!("{base}{path}"), &body.to_string()).await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn arguments(state: &State, tool: &str) -> Vec<String> {
    state
        .calls
        .iter()
        .rev()
        .find(|call| call.tool == tool)
        .map(|call| call.arguments.clone())
        .unwrap_or_default()
}

/// Waits for the pool to have been looked at.
async fn looked(endpoint: &mut Endpoint) {
    endpoint
        .eventually("the pool is looked at", |this| {
            this.scripted.state().calls.iter().any(|call| call.tool == "condor_q")
        })
        .await;
}

async fn the_first_sidecar_with_its_file_and_variables() {
    let mut endpoint = Endpoint::new();
    let (interlink, sidecar) = (free_port(), free_port());
    let file = endpoint.write(
        "etc/InterLinkConfig.yaml",
        &format!(
            "InterlinkURL: \"http://localhost\"\nInterlinkPort: \"{interlink}\"\nSidecarURL: \"http://localhost\"\n\
             SidecarPort: \"1\"\nSidecarService: \"htcondor\"\nVKTokenFile: \"/nowhere\"\nCommandPrefix: \"\"\n\
             ExportPodData: true\nDataRootFolder: \".knoc/\"\nTsocks: false\nSbatchPath: \"/usr/bin/sbatch\"\n"
        ),
    );
    endpoint.set("INTERLINKCONFIGPATH", &file);
    endpoint.set("SIDECARPORT", "2");
    endpoint.set("SIDECARSERVICE", "htcondor");
    endpoint.set("VKTOKENFILE", "/nowhere/else");
    let config = endpoint.write("etc/condor_config", "");
    let proxy = endpoint.write("etc/x509up", "");
    let port = sidecar.to_string();
    let line = [
        "--condor-config",
        &config,
        "--schedd-host",
        "schedd.example.com",
        "--collector-host",
        "collector.example.com",
        "--auth-method",
        "GSI",
        "--debug",
        "D_FULLDEBUG",
        "--proxy",
        &proxy,
        "--",
        "--port",
        &port,
    ];
    endpoint.start(&line, 2).await;
    for port in [interlink, sidecar] {
        assert_eq!(Caller::default().ping(&format!("http://127.0.0.1:{port}")).await, Ok(200));
    }
    looked(&mut endpoint).await;
    let log = endpoint.log();
    assert_eq!(log.matches("GSI").count(), 1, "{log}");
    let given = arguments(&endpoint.scripted.state(), "condor_q");
    let at = |word: &str| given.iter().position(|given| given == word);
    assert!(at("schedd.example.com").unwrap() == at("-name").unwrap() + 1, "{given:?}");
    assert!(at("collector.example.com").unwrap() == at("-pool").unwrap() + 1, "{given:?}");
    assert!(!given.iter().any(|word| word.contains("x509up")), "{given:?}");
    let environment = endpoint.environment_of("condor_q");
    for (name, value) in [
        ("CONDOR_CONFIG", config.as_str()),
        ("X509_USER_PROXY", &proxy),
        ("_CONDOR_TOOL_DEBUG", "D_FULLDEBUG"),
        ("_CONDOR_SCHEDD_HOST", "schedd.example.com"),
    ] {
        assert_eq!(environment.get(name).map(String::as_str), Some(value), "{environment:?}");
    }
    let method = environment.keys().any(|name| name.contains("AUTHENTICATION"));
    assert!(!method, "the method is left to the pool: {environment:?}");
    endpoint.end().await;
}

async fn the_plugin_of_0_5_with_a_token() {
    let mut endpoint = Endpoint::new();
    endpoint.write(
        "work/SidecarConfig.yaml",
        "CommandPrefix: \"\"\nExportPodData: true\nDataRootFolder: \".knoc/\"\n",
    );
    let token = endpoint.write("etc/scitoken.jwt", "e30.e30.c2ln");
    let port = free_port().to_string();
    let line =
        ["--schedd-name", "s@example.com", "--auth-method", "SCITOKENS", "--proxy", &token, "--port", &port];
    endpoint.start(&line, 1).await;
    assert_eq!(Caller::default().ping(&format!("http://127.0.0.1:{port}")).await, Ok(200));
    looked(&mut endpoint).await;
    let environment = endpoint.environment_of("condor_q");
    assert_eq!(environment.get("BEARER_TOKEN_FILE"), Some(&token));
    let method = environment.get("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS");
    assert_eq!(method.map(String::as_str), Some("SCITOKENS"));
    assert!(endpoint.path("work/.knoc/htc-operator/htcjobs.db").exists());
    assert_eq!(endpoint.log().matches("every user of this machine").count(), 1);
    endpoint.end().await;
}

async fn the_recipe_of_0_6_from_ping_to_delete() {
    let mut endpoint = Endpoint::new();
    let file = "CommandPrefix: \"\"\nExportPodData: true\nDataRootFolder: \".interlink/\"\n";
    endpoint.write("work/SidecarConfig.yaml", file);
    endpoint.scripted.change(|state| state.schedd = Some("scheduler.example.com".to_owned()));
    let port = free_port().to_string();
    let line = [
        "--schedd-host",
        "scheduler.example.com",
        "--collector-host",
        "collector.example.com",
        "--port",
        &port,
    ];
    endpoint.start(&line, 1).await;
    let base = format!("http://127.0.0.1:{port}");
    let (status, ping) = ask(&base, "GET", "/status", &json!([])).await;
    assert_eq!((status, &ping["status"]), (200, &json!("healthy")));
    let (status, info) = ask(&base, "GET", "/system-info", &Value::Null).await;
    assert_eq!((status, info["htcondor_connected"].is_boolean()), (200, true));

    let (status, created) =
        ask(&base, "POST", "/create", &json!({ "pod": recipe_pod(), "container": [] })).await;
    assert_eq!((status, &created["PodUID"]), (200, &json!(UID)), "{created}");
    endpoint
        .eventually("the job runs", |this| {
            this.scripted.state().queue.len() == 1 && this.scripted.start_jobs() == 1
        })
        .await;
    let key = format!("{UID}/0/0/0");
    let record = |second, text: &str| format!("2026-01-01T00:00:0{second}.000000000Z stdout F {text}\n");
    endpoint.scripted.write(&key, "log.busybox", &(record(1, "one") + &record(2, "two")));
    endpoint.scripted.finish_jobs(crate::pool::Ending::code(0));
    let state = |answer: &Value| answer[0]["containers"][0]["state"].clone();
    let mut last = Value::Null;
    for _ in 0..2_000 {
        (_, last) = ask(&base, "GET", "/status", &json!([recipe_pod()])).await;
        if state(&last)["terminated"].is_object() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(state(&last)["terminated"]["exitCode"], json!(0), "{last}");
    let run = endpoint.path(&format!("work/.interlink/default-{UID}/run-busybox.out"));
    endpoint.eventually("the log is copied", |_| run.exists()).await;
    let text = fs::read_to_string(&run).unwrap();
    assert_eq!(text, "one\ntwo\n", "the log's text, without the time of each line");

    // Written once: not again by the next life, which has looked at it when the next pod's is there.
    let written = fs::metadata(&run).unwrap().ino();
    endpoint.end().await;
    endpoint.start(&line, 1).await;
    let mut next = recipe_pod();
    next["metadata"]["uid"] = json!("next");
    endpoint.scripted.auto_run(0);
    ask(&base, "POST", "/create", &json!({ "pod": next, "container": [] })).await;
    let copied = endpoint.path("work/.interlink/default-next/run-busybox.out");
    endpoint.eventually("the next log is copied", |_| copied.exists()).await;
    assert_eq!(fs::metadata(&run).unwrap().ino(), written);

    let (status, _) = ask(&base, "POST", "/delete", &json!({ "metadata": recipe_pod()["metadata"] })).await;
    assert_eq!(status, 200);
    endpoint.end().await;
}

async fn without_any_flag_a_socket_for_us_alone() {
    let mut endpoint = Endpoint::new();
    endpoint.start(&[], 1).await;
    let data = endpoint.path("home/.local/state/htc-operator");
    let socket = data.join("interlink.sock");
    assert_eq!(endpoint.address(), format!("unix:{}", socket.display()));
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
    let caller = Caller { socket: Some(socket), ..Caller::default() };
    assert_eq!(caller.ping("http://unix").await, Ok(200));
    // Of who may call; a scripted pool without slots may be warned of.
    let log = endpoint.log();
    let warned = log.lines().any(|line| line.contains("WARN") && !line.contains("what the pool has"));
    assert!(!warned, "{log}");
    endpoint.end().await;
}

async fn the_identity_outlives_the_data_folder() {
    let mut endpoint = Endpoint::new();
    endpoint.start(&[], 1).await;
    let state = endpoint.path("home/.local/state");
    let read = |name: &str| fs::read_to_string(state.join(name)).unwrap();
    let (instance, key) = (read("htc-operator.instance"), read("htc-operator.key"));
    assert_eq!(fs::metadata(state.join("htc-operator.key")).unwrap().mode() & 0o777, 0o600);
    assert!(endpoint.log().contains(&format!("instance=\"{}\"", instance.trim())), "{}", endpoint.log());
    assert_eq!(endpoint.log().matches("made the").count(), 2, "{}", endpoint.log());
    assert!(!endpoint.log().contains(key.trim().split(':').nth(1).unwrap()));
    endpoint.end().await;
    fs::remove_dir_all(state.join("htc-operator")).unwrap();
    endpoint.start(&[], 1).await;
    assert_eq!((read("htc-operator.instance"), read("htc-operator.key")), (instance, key));
    endpoint.end().await;
}

async fn a_dummy_job_sleeps_in_the_place_of_the_containers() {
    let mut endpoint = Endpoint::new();
    endpoint.start(&["--dummy-job", "--interlink-listen", "127.0.0.1:0"], 1).await;
    let base = format!("http://{}", endpoint.address());
    let (status, _) = ask(&base, "POST", "/create", &json!({ "pod": recipe_pod(), "container": [] })).await;
    assert_eq!(status, 200);
    endpoint.eventually("the job is in the queue", |this| this.scripted.state().queue.len() == 1).await;
    let folder = endpoint.path(&format!("home/.local/state/htc-operator/jobs/{UID}/0.0.0/job.json"));
    let job = fs::read_to_string(spooled(&endpoint, &folder)).unwrap();
    assert!(job.contains("\"sleep\"") && !job.contains("docker://busybox"), "{job}");
    endpoint.end().await;
}

/// The job's own file, where it was written or where the schedd has it.
fn spooled(endpoint: &Endpoint, file: &Path) -> std::path::PathBuf {
    if file.exists() {
        return file.to_owned();
    }
    let mut folders = vec![endpoint.scripted.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.ends_with("job.json") {
                return path;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    panic!("there is no job.json")
}

async fn what_becomes_of_each_key_is_explained_and_nothing_is_started() {
    let endpoint = Endpoint::new();
    endpoint.write(
        "work/SidecarConfig.yaml",
        "CommandPrefix: \"module load x;\"\nDataRootFolder: \".interlink/\"\n",
    );
    let (status, text, _) = endpoint.run(&["--port", "4000", "--auth-method", "GSI", "--explain-config"]);
    assert!(status.success());
    let line = |word: &str| {
        text.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {text}"))
    };
    assert!(line("--port").contains("honoured"));
    assert!(line("GSI").contains("refused"));
    assert!(line("module load x;").contains("refused"));
    assert!(line("DataRootFolder").contains("SidecarConfig.yaml"));
    assert!(line("listens on").contains("127.0.0.1:4000"));
    assert!(!endpoint.path("work/.interlink").exists() && endpoint.scripted.state().calls.is_empty());
}

async fn a_flag_counts_more_than_our_variable_than_an_old_one_than_a_file() {
    let mut endpoint = Endpoint::new();
    let listens = |endpoint: &Endpoint, flags: &[&str]| {
        let (status, text, why) = endpoint.run(&[flags, &["--explain-config"]].concat());
        assert!(status.success(), "{why}");
        let line = text.lines().find(|line| line.starts_with("listens on")).unwrap_or_default().to_owned();
        line.trim_start_matches("listens on ").to_owned()
    };
    assert!(listens(&endpoint, &[]).starts_with("unix:"));
    endpoint.write("work/InterLinkConfig.yaml", "SidecarPort: 4001\n");
    assert_eq!(listens(&endpoint, &[]), "127.0.0.1:4001");
    endpoint.write("work/SidecarConfig.yaml", "SidecarPort: 4002\n");
    assert_eq!(listens(&endpoint, &[]), "127.0.0.1:4002");
    endpoint.set("SIDECARPORT", "4003");
    assert_eq!(listens(&endpoint, &[]), "127.0.0.1:4003");
    endpoint.set("HTC_INTERLINK_PORT", "4004");
    assert_eq!(listens(&endpoint, &[]), "127.0.0.1:4004");
    assert_eq!(listens(&endpoint, &["--port", "4005"]), "127.0.0.1:4005");
}

async fn a_file_that_was_named_must_be_there_and_readable() {
    let mut endpoint = Endpoint::new();
    let (status, _, why) = endpoint.run(&["--config", "/nowhere.yaml"]);
    assert!(!status.success() && why.contains("/nowhere.yaml"), "{why}");
    let bad = endpoint.write("bad.yaml", "DataRootFolder: [");
    endpoint.set("INTERLINKCONFIGPATH", &bad);
    let (status, _, why) = endpoint.run(&[]);
    assert!(!status.success() && why.contains("bad.yaml"), "{why}");
}

async fn an_expired_token_fails_the_ping_only_where_a_setting_says_so() {
    let mut endpoint = Endpoint::new();
    // {"exp":1000000000}
    let token = endpoint.write("etc/token", "e30.eyJleHAiOjEwMDAwMDAwMDB9.c2ln");
    let line = ["--auth-method", "SCITOKENS", "--proxy", &token, "--interlink-listen", "127.0.0.1:0"];
    endpoint.start(&line, 1).await;
    assert_eq!(Caller::default().ping(&format!("http://{}", endpoint.address())).await, Ok(200));
    endpoint.end().await;
    endpoint.start(&[&line[..], &["--interlink-ping-checks-credential"]].concat(), 1).await;
    let url = format!("http://{}/pinglink", endpoint.address());
    let (status, why) = Caller::default().call("POST", &url, "").await.unwrap();
    assert_eq!(status, 503);
    assert!(why.contains("expired") && why.contains("etc/token") && !why.contains("eyJ"), "{why}");
    // {"exp":9000000000}
    endpoint.write("etc/token", "e30.eyJleHAiOjkwMDAwMDAwMDB9.c2ln");
    let base = format!("http://{}", endpoint.address());
    Caller::default().until_pinged(&base, 200).await;
    fs::remove_file(&token).unwrap();
    Caller::default().until_pinged(&base, 503).await;
    endpoint.end().await;
}

async fn the_api_server_of_0_6_with_tls_and_its_plugins_port() {
    let mut endpoint = Endpoint::new();
    let (tls, clients) = (Tls::new(&endpoint), Authority::new());
    let ca = endpoint.write("etc/clients.crt", &clients.pem());
    let [certificate, key] = &tls.files;
    let (interlink, sidecar) = (free_port(), free_port());
    endpoint.write(
        "work/InterLinkConfig.yaml",
        &format!(
            "InterlinkAddress: \"https://127.0.0.1\"\nInterlinkPort: \"{interlink}\"\n\
             SidecarURL: \"http://127.0.0.1\"\nSidecarPort: \"{sidecar}\"\nVerboseLogging: true\n\
             DataRootFolder: \"{}\"\nTLS:\n  Enabled: true\n  CertFile: {certificate}\n  KeyFile: {key}\n  \
             CACertFile: {ca}\n",
            endpoint.path("root").display()
        ),
    );
    endpoint.start(&[], 2).await;
    let base = format!("https://127.0.0.1:{interlink}");
    assert_eq!(with_certificate(&tls.caller(), &clients).ping(&base).await, Ok(200));
    assert!(tls.caller().ping(&base).await.is_err());
    let plain = format!("http://127.0.0.1:{sidecar}");
    assert_eq!(Caller::default().ping(&plain).await, Ok(200), "the API server speaks no TLS to its plugin");
    assert!(endpoint.path("root/htc-operator/htcjobs.db").exists());
    assert!(endpoint.log().contains("DEBUG"), "VerboseLogging: {}", endpoint.log());
    endpoint.end().await;
}
