//! The recorded traffic of each released version and hop, in its order: every request is answered as its
//! sender needs it, and has its effect once.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::client::dialect::{Dialect, Hop, Opts, Version};
use crate::client::merge::Copy;
use crate::client::recordings::{self, Recording};
use crate::client::transport::Answer;
use crate::client::{pods, wire};
use crate::door::Door;
use crate::pool::Ending;

super::claims![
    the_traffic_of_0_4_1_directly,
    the_traffic_of_0_4_1_through_its_server,
    the_traffic_of_0_5_2_directly,
    the_traffic_of_0_5_2_through_its_server,
    the_traffic_of_0_6_1_directly,
    the_traffic_of_0_6_1_through_its_server,
    the_traffic_of_0_6_2_directly,
    the_traffic_of_0_6_2_through_its_server,
    queued_pods_of_0_4_1_stay_pending_where_the_site_wants_it,
    queued_pods_of_0_5_2_stay_pending_where_the_site_wants_it,
    arguments_and_environment_arrive_byte_for_byte,
    volumes_arrive_as_the_job_needs_them,
    tokens_of_pods_are_told_to_nobody,
];

async fn the_traffic_of_0_4_1_directly() {
    replay("0.4.1", Version::V04, Hop::Kubelet).await;
}

async fn the_traffic_of_0_4_1_through_its_server() {
    replay("0.4.1", Version::V04, Hop::Server).await;
}

async fn the_traffic_of_0_5_2_directly() {
    replay("0.5.2-patch1", Version::V05, Hop::Kubelet).await;
}

async fn the_traffic_of_0_5_2_through_its_server() {
    replay("0.5.2-patch1", Version::V05, Hop::Server).await;
}

async fn the_traffic_of_0_6_1_directly() {
    replay("0.6.1-patch1", Version::V061, Hop::Kubelet).await;
}

async fn the_traffic_of_0_6_1_through_its_server() {
    replay("0.6.1-patch1", Version::V061, Hop::Server).await;
}

async fn the_traffic_of_0_6_2_directly() {
    replay("0.6.2", Version::V062, Hop::Kubelet).await;
}

async fn the_traffic_of_0_6_2_through_its_server() {
    replay("0.6.2", Version::V062, Hop::Server).await;
}

async fn queued_pods_of_0_4_1_stay_pending_where_the_site_wants_it() {
    queued("0.4.1", Version::V04).await;
}

async fn queued_pods_of_0_5_2_stay_pending_where_the_site_wants_it() {
    queued("0.5.2-patch1", Version::V05).await;
}

/// The recorded creates and first questions, while every job is queued: what that virtual kubelet makes of
/// the answers with the setting and without.
async fn queued(version: &str, is: Version) {
    for (folder, hop) in [("hop1", Hop::Kubelet), ("hop2", Hop::Server)] {
        for (setting, phase) in [("true", "Pending"), ("false", "Running")] {
            let mut door = Door::closed(&[]).set("HTC_INTERLINK_QUEUED_WITHOUT_STATE", setting);
            door.start().await;
            let recordings = recordings::all(version, folder);
            let refused = |name: &str| REFUSED.iter().any(|(refused, _)| *refused == name);
            let creates = recordings.iter().filter(|r| r.path == "/create" && !refused(&r.name));
            let mut kubelet = door.kubelet_of(Dialect { version: is, hop });
            kubelet.stateless_waiting = setting == "true";
            for create in creates {
                door.transport().send(&create.request()).await.unwrap().success().unwrap();
                door.until_queued(create.uid()).await;
                kubelet.hold(create.pods()[0]);
            }
            let mut asked = 0;
            for status in recordings.iter().filter(|recording| recording.name.starts_with("030")) {
                let answer = door.transport().send(&status.request()).await.unwrap();
                let answers = wire::pod_statuses(answer.success().unwrap()).unwrap();
                for (pod, answer) in status.pods().into_iter().zip(answers) {
                    let (uid, inits) = (pods::uid_of(pod), pods::names(pod, "initContainers"));
                    if !kubelet.pods.contains_key(uid) {
                        continue;
                    }
                    asked += 1;
                    let mut copy = Copy::submitted(pod, is);
                    copy.apply(is, &[answer]).unwrap();
                    // Whose init containers wait stays in any case.
                    let phase = if inits.is_empty() { phase } else { "Pending" };
                    assert_eq!(copy.phase, phase, "{version} {folder} {setting}: {pod:#}");
                }
            }
            assert!(asked >= 1, "nobody was asked for");
            // And the others that were recorded, over some looks.
            for uid in kubelet.pods.keys().cloned().collect::<Vec<_>>() {
                for _ in 0..3 {
                    kubelet.ask(&uid).await;
                }
                let held = kubelet.held(&uid);
                let has_inits = !pods::names(&held.pod, "initContainers").is_empty();
                let phase = if has_inits { "Pending" } else { phase };
                assert_eq!(held.copy.phase, phase, "{version} {folder} {setting}: {uid}");
            }
            assert!(kubelet.pods.len() >= 8, "that was too little traffic");
        }
    }
}

/// Recorded pods that cannot run here, and a word that the refusal must have; `docs/pod-support.md` says why.
const REFUSED: &[(&str, &str)] =
    &[("016-create-probes", "lifecycle"), ("020-create-projsecret", "secret"), ("021-create-pvc", "claim")];

/// What the traffic did.
#[derive(Default)]
struct Effects {
    /// By UID, the word of the refusal.
    refused: BTreeMap<String, &'static str>,
    accepted: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

async fn replay(version: &str, is: Version, hop: Hop) {
    let folder = if hop == Hop::Kubelet { "hop1" } else { "hop2" };
    let recordings = recordings::all(version, folder);
    let mut door = Door::closed(&[]);
    if is < Version::V061 {
        door = door.set("HTC_INTERLINK_QUEUED_WITHOUT_STATE", "true");
    }
    door.start().await;
    let mut effects = Effects::default();
    for recording in &recordings {
        if recording.name.starts_with("030") {
            for uid in &effects.accepted {
                door.until_queued(uid).await;
            }
            door.run_jobs();
            write_logs(&door);
            // They are seen to run.
            door.looks(2).await;
        }
        if recording.name.starts_with("070") {
            door.scripted.finish_jobs(Ending::code(0));
        }
        let answer = answered(&door, recording).await;
        assert_eq!(answer.header("content-encoding"), None, "{}: gzip was only offered", recording.name);
        judge(recording, &answer, &mut effects);
    }
    // WIRE 10.3: once, whatever came twice; nothing that was refused.
    let mut committed = door.committed();
    committed.sort();
    assert_eq!(committed, effects.accepted.iter().cloned().collect::<Vec<_>>());
    assert!(effects.accepted.len() >= 9 && effects.deleted.len() >= 5, "that was too little traffic");
    for uid in &effects.deleted {
        door.until_left(uid, async || ()).await;
    }
    told_as_they_are(&door, &recordings, &effects, Dialect { version: is, hop }).await;
}

/// Each container has a log, as the sender writes it.
fn write_logs(door: &Door) {
    for ad in door.scripted.jobs() {
        let key = ad["HTCOperatorKey"].as_str().unwrap().to_owned();
        let outputs = ad["TransferOutput"].as_str().unwrap().split(',').map(str::trim);
        for name in outputs.filter(|name| name.starts_with("log.") && !name.ends_with(".prev")) {
            let line = |n| format!("2026-11-21T10:00:0{n}.000000000Z stdout F line {n} of {name}\n");
            door.scripted.write(&key, name, &(1..=9).map(line).collect::<String>());
            // There was no run before; the tool would wait for the file.
            door.scripted.write(&key, &format!("{name}.prev"), "");
        }
    }
}

/// Sends a recording; of a log that is followed only what comes first is read.
async fn answered(door: &Door, recording: &Recording) -> Answer {
    let follows = recording.body["Opts"]["Follow"] == true;
    if !follows {
        return door.transport().send(&recording.request()).await.unwrap();
    }
    let mut stream = door.transport().open(&recording.request()).await.unwrap();
    let first = tokio::time::timeout(crate::door::PATIENCE, stream.chunk()).await.expect("some of the log");
    let body = first.unwrap().unwrap_or_default().to_vec();
    Answer { code: stream.status().as_u16(), headers: Vec::new(), body }
}

fn judge(recording: &Recording, answer: &Answer, effects: &mut Effects) {
    let name = recording.name.as_str();
    let good = || answer.success().unwrap_or_else(|why| panic!("{name}: {why}"));
    let uid = recording.uid().to_owned();
    match (recording.path.as_str(), &name[..3]) {
        (_, "001") => drop(wire::ping_response(good()).unwrap()),
        ("/create", _) => match REFUSED.iter().find(|(refused, _)| *refused == name) {
            Some((_, word)) => {
                assert_eq!(answer.code, 400, "{name}: {}", answer.text());
                assert!(answer.text().contains(word), "{name}: {}", answer.text());
                effects.refused.insert(uid, word);
            }
            None => {
                assert_eq!(wire::create_struct(good()).unwrap().pod_uid, uid, "{name}");
                effects.accepted.insert(uid);
            }
        },
        ("/status", _) => {
            let answers = wire::pod_statuses(good()).unwrap();
            let asked: Vec<&str> = recording.pods().into_iter().map(pods::uid_of).collect();
            assert_eq!(answers.iter().map(|a| a.uid.as_str()).collect::<Vec<_>>(), asked, "{name}");
            for (pod, answer) in recording.pods().into_iter().zip(&answers) {
                let lists = [("containers", &answer.containers), ("initContainers", &answer.init_containers)];
                for (list, statuses) in lists {
                    let names: Vec<String> = statuses.iter().flatten().map(|c| c.name.clone()).collect();
                    assert_eq!(names, pods::names(pod, list), "{name}: {list}");
                }
            }
        }
        ("/getLogs", _) => {
            good();
            let opts = &recording.body["Opts"];
            let plain = opts["Previous"] == false && opts["SinceSeconds"] == 0;
            let zero = opts["SinceTime"].as_str().unwrap().starts_with("0001");
            assert!(!plain || !zero || answer.text().contains("line"), "{name}: {:?}", answer.text());
            let tail = opts["Tail"].as_u64().unwrap();
            let lines = answer.text().lines().count() as u64;
            assert!(tail == 0 || lines <= tail, "{name}: {:?}", answer.text());
            let bytes = opts["Bytes"].as_u64().unwrap();
            assert!(bytes == 0 || answer.body.len() as u64 <= bytes, "{name}: {:?}", answer.text());
        }
        ("/delete", _) => {
            assert_eq!(wire::json(good()).unwrap(), serde_json::json!([]), "{name}");
            effects.deleted.insert(uid);
        }
        (path, _) => panic!("{name} is for {path}"),
    }
}

/// WIRE 0 (1), 4: in the end each pod is told as what it is.
async fn told_as_they_are(door: &Door, recordings: &[Recording], effects: &Effects, dialect: Dialect) {
    let mut kubelet = door.kubelet_of(dialect);
    kubelet.stateless_waiting = true;
    let creates = recordings.iter().filter(|recording| recording.path == "/create");
    for pod in creates.flat_map(Recording::pods) {
        let uid = kubelet.hold(pod);
        if effects.deleted.contains(&uid) {
            continue;
        }
        if let Some(word) = effects.refused.get(&uid) {
            kubelet.until_phase(&uid, "Failed").await;
            let ended = kubelet.held(&uid).copy.containers[0].state.clone().unwrap().terminated.unwrap();
            assert!(ended.message.is_some_and(|message| message.contains(word)), "{uid}");
        } else {
            kubelet.until_phase(&uid, "Succeeded").await;
            let name = pods::names(pod, "containers").remove(0);
            assert!(kubelet.log(&uid, &name, &Opts::default()).await.contains("line 9"), "{uid}");
        }
    }
}

/// The `job.json` of a recorded pod, as it reached the schedd.
async fn job_of(door: &Door, hop: &str, name: &str) -> Value {
    let recording = recordings::one("0.6.2", hop, name);
    door.transport().send(&recording.request()).await.unwrap().success().unwrap();
    let key = door.until_queued(recording.uid()).await;
    let file = door.until("its files arrive", || {
        let ad = door.scripted.job(&key)?;
        let folder = door.scripted.path().join("spool").join(format!("{}.{}", ad["ClusterId"], ad["ProcId"]));
        std::fs::read(folder.join("job.json")).ok()
    });
    serde_json::from_slice(&file.await).unwrap()
}

/// All texts in a JSON value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| [vec![name.as_str()], texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

async fn arguments_and_environment_arrive_byte_for_byte() {
    let door = Door::open().await;
    for hop in ["hop1", "hop2"] {
        let special = recordings::one("0.6.2", hop, "011-create-special");
        let job = job_of(&door, hop, "011-create-special").await;
        let words = texts(&job);
        let container = &special.pods()[0]["spec"]["containers"][0];
        for argument in container["args"].as_array().unwrap().iter().skip(1) {
            assert!(words.contains(&argument.as_str().unwrap()), "{argument}");
        }
        // WIRE 3.3, 10.12: $(VAR) comes unexpanded; an unknown one stays, $$(…) is $(…).
        let script = container["args"][0].as_str().unwrap().replace("$$(ESC)", "$(ESC)");
        assert!(words.contains(&script.as_str()), "{job:#}");

        let env = recordings::one("0.6.2", hop, "012-create-env");
        let job = job_of(&door, hop, "012-create-env").await;
        let words = texts(&job);
        for variable in env.pods()[0]["spec"]["containers"][0]["env"].as_array().unwrap() {
            // WIRE 2: an empty value comes without the key.
            let value = variable["value"].as_str().unwrap_or_default();
            assert!(words.contains(&variable["name"].as_str().unwrap()), "{variable}");
            assert!(words.contains(&value), "{variable}");
        }
    }
}

async fn volumes_arrive_as_the_job_needs_them() {
    let door = Door::open().await;
    for hop in ["hop1", "hop2"] {
        let job = job_of(&door, hop, "013-create-volumes").await;
        let text = job.to_string();
        let words = texts(&job);
        let has = |content: &str| {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(content);
            words.contains(&content) || words.contains(&encoded.as_str())
        };
        // WIRE 3.3, 10.11: items, base64 of secrets, content of projected volumes.
        assert!(text.contains("bin/run.sh"), "items have their path");
        assert!(has("#!/bin/sh\necho \"hello $1\"\n"), "the script of the ConfigMap");
        assert!(has("p@ss\"word'$HOME"), "the secret, decoded once");
        assert!(has("[main]\nname = \"x\"\ntabs\t= yes\n") && text.contains("conf/settings.ini"));
        assert!(has("app=\"volumes\"\n"), "the labels of the downward API");
    }
}

async fn tokens_of_pods_are_told_to_nobody() {
    const TOKEN: &str = "dummy-service-account-token";
    let door = Door::open().await;
    job_of(&door, "hop1", "013-create-volumes").await;
    job_of(&door, "hop2", "013-create-volumes").await;
    let secrets = [TOKEN, "ZHVtbXktc2VydmljZS1hY2NvdW50LXRva2Vu", "p@ss\"word", "cEBzcyJ3b3JkJyRIT01F"];
    let state = door.scripted.state();
    let ads = serde_json::to_string(&state.queue).unwrap();
    let calls = serde_json::to_string(&state.calls).unwrap();
    for secret in secrets {
        // WIRE 10.13: never in logs, arguments, ads.
        assert!(!door.log().contains(secret), "in the log: {secret}");
        assert!(!ads.contains(secret) && !calls.contains(secret), "in an ad or an argument: {secret}");
    }
    let data = door.scripted.path().join("data");
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o077, 0);
    let kept = files_with(&data, &secrets);
    assert!(kept.iter().any(|(file, _)| file.ends_with("job.json")), "{kept:?}");
    for (file, mode) in kept {
        // The database is SQLite's, for us alone as the folder is.
        assert!(mode & 0o077 == 0 || file.contains("htcjobs.db"), "{file}: {mode:o}");
    }
}

/// The files below a folder that have one of these texts, and their modes.
fn files_with(folder: &Path, texts: &[&str]) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&entry.path(), texts));
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            let text = String::from_utf8_lossy(&bytes);
            if texts.iter().any(|secret| text.contains(secret)) {
                found.push((
                    entry.path().display().to_string(),
                    entry.metadata().unwrap().permissions().mode(),
                ));
            }
        }
    }
    found
}
