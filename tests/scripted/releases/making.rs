//! Makes the data folder of a release with work in every state. `make.sh` compiles this file as a claim in the
//! sources of that release, so that its own engine writes everything that is kept. See README.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use htc_core::chirp;
use htc_core::events::job_key;
use htc_core::workload::container::{EnvVar, Image, Program};
use htc_core::workload::progress::Progress;
use htc_core::workload::report::{ContainerState, ContainerStatus, Phase, Report};
use htc_core::workload::spec::Route;
use htc_operator::engine::{Options, Outputs, View, Wish};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::running;
use crate::life::{Life, options, uid, wish};
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![settled, submitting];

/// Stands for the folder of everything.
const HERE: &str = "@HERE@";

fn begins(scripted: &Scripted, change: impl FnOnce(&mut Options)) -> impl Future<Output = Life> {
    let route = Route { url: "http://operator.example.org".to_owned(), source: "cern.ch".to_owned(), ca: None };
    let mut options = Options { route: Some(route), ..options(&scripted.path().join("data")) };
    change(&mut options);
    Life::begin(options, scripted.pool())
}

/// An HTCJob of so many copies.
fn htcjob(name: &str, copies: u32) -> Wish {
    Wish { door: "htcjob", ..wish(name, copies) }
}

/// A pod, with a secret.
fn pod(name: &str) -> Wish {
    let mut wish = Wish { door: "interlink", ..wish(name, 1) };
    wish.workload.restart_after_eviction = false;
    let [main] = &mut wish.workload.containers[..] else { panic!("one container") };
    main.image = Image::Apptainer("docker://registry.example.org/tool:1".to_owned());
    main.program = Program::EntryPoint(vec!["--fast".into()]);
    main.env = vec![EnvVar { name: "PASSWORD".to_owned(), value: "hunter2".to_owned() }];
    wish
}

/// Wishes it and waits until all its copies are in the queue.
async fn queued(life: &Life, wish: Wish) {
    let (name, copies) = (wish.name.clone(), wish.workload.indices);
    life.try_wish(wish).await.unwrap();
    for index in 0..copies {
        life.is_queued(&name, index).await;
    }
}

fn key(name: &str) -> String {
    format!("{name}/0/0/0")
}

/// Starts the jobs of these workloads only.
fn start(scripted: &Scripted, names: &[&str]) {
    scripted.change(|state| {
        for place in 0..state.queue.len() {
            let uid = state.queue[place]["HTCOperatorUid"].as_str().unwrap_or_default().to_owned();
            if names.contains(&uid.as_str()) {
                assert!(state.start(place), "{uid}");
            }
        }
    });
}

fn said(name: &str, seq: u64, message: &str) -> Report {
    let now = Timestamp::now();
    let state = ContainerState::Terminated {
        exit_code: 0,
        signal: None,
        reason: "Completed".to_owned(),
        message: message.to_owned(),
        started_at: Some(now),
        finished_at: now,
    };
    let containers = vec![ContainerStatus { name: "main".to_owned(), state }];
    Report { seq, containers, ..running(key(name).parse().unwrap(), 1) }
}

async fn publish(life: &Life, name: &str) {
    let ended = life.view(name).jobs.iter().map(|job| job.index).collect::<Vec<_>>();
    life.engine.published(&uid(name), &ended).await.unwrap();
}

async fn is_home(life: &Life, name: &str) {
    life.until(name, "it is home", |view| matches!(view.outputs, Outputs::Home(_))).await;
}

async fn settled() {
    let scripted = Scripted::new();
    // The only one that has ended so far: its outputs are removed at once.
    let life = begins(&scripted, |options| options.keep_outputs = Some(std::time::Duration::from_millis(1))).await;
    queued(&life, htcjob("collected", 1)).await;
    scripted.run_jobs(0);
    life.ends("collected").await;
    publish(&life, "collected").await;
    let is_collected = |view: &View| matches!(view.outputs, Outputs::Collected(_));
    life.until("collected", "its outputs are removed", is_collected).await;
    scripted.empties().await;
    life.end().await;

    let life = begins(&scripted, |_| ()).await;
    for name in ["tomb", "over"] {
        queued(&life, htcjob(name, 1)).await;
        scripted.run_jobs(0);
        life.ends(name).await;
        is_home(&life, name).await;
        publish(&life, name).await;
    }
    life.gone("tomb").await;
    life.is_gone("tomb").await;
    scripted.empties().await;
    queued(&life, htcjob("lost", 1)).await;
    scripted.change(|state| state.vanish(&key("lost")));
    life.ends("lost").await;
    let refusal = "ERROR: Failed to commit job submission into the queue.\nERROR: no such accounting group";
    scripted.plan(Planned::next("condor_submit", Fault::Fail(refusal.to_owned())).times(3));
    life.try_wish(htcjob("refused", 1)).await.unwrap();
    life.ends("refused").await;
    scripted.heal();
    queued(&life, htcjob("home", 2)).await;
    scripted.run_jobs(0);
    is_home(&life, "home").await;
    queued(&life, htcjob("failed", 1)).await;
    scripted.run_jobs(3);
    is_home(&life, "failed").await;
    queued(&life, pod("evicted")).await;
    start(&scripted, &["evicted"]);
    scripted.make_idle(&key("evicted"));
    life.ends("evicted").await;

    scripted.plan(Planned::next("condor_qedit", Fault::Fail("no".to_owned())).always());
    queued(&life, htcjob("unacked", 1)).await;
    scripted.run_jobs(0);
    is_home(&life, "unacked").await;
    publish(&life, "unacked").await;
    scripted.plan(Planned::next("condor_rm", Fault::Fail("no".to_owned())).always());
    queued(&life, htcjob("leaving", 1)).await;
    start(&scripted, &["leaving"]);
    life.gone("leaving").await;
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("no".to_owned())).always());
    queued(&life, htcjob("unfetched", 1)).await;
    start(&scripted, &["unfetched"]);
    let last = Report { phase: Phase::Done, retcode: Some(0), ..said("unfetched", 2, "all is well") };
    life.engine.report(last).await.unwrap();
    scripted.finish(&key("unfetched"), Ending::code(0));
    life.ends("unfetched").await;

    for name in ["idle", "held", "unjudged", "runs"] {
        queued(&life, htcjob(name, 1)).await;
    }
    for name in ["pod", "chirps"] {
        queued(&life, pod(name)).await;
    }
    scripted.hold(&key("held"), 13, 2, "Transfer input files failure");
    start(&scripted, &["runs", "pod", "chirps", "unjudged"]);
    for name in ["runs", "pod"] {
        life.engine.report(said(name, 3, "under way")).await.unwrap();
        life.runs(name, 0).await;
    }
    let secret = job_key(&[0; 32], &key("chirps").parse().unwrap());
    let value = chirp::encode("k1", &secret, &said("chirps", 5, "a message in the ad"));
    scripted.set(&key("chirps"), json!({ "ChirpHTCReport": value.unwrap() }));
    life.until("held", "it is held", |view| matches!(view.jobs[0].progress, Progress::Held { .. })).await;
    life.end().await;

    let room = scripted.jobs().len() + 2;
    let life = begins(&scripted, |options| options.max_jobs_in_queue = room).await;
    life.is_ready().await;
    life.try_wish(htcjob("crowd", 4)).await.unwrap();
    life.is_queued("crowd", 1).await;
    life.end().await;
    // No tool reaches the schedd any more: what is tried waits for its next submission.
    let away = Fault::Fail("ERROR: Failed to connect to queue manager".to_owned());
    scripted.plan(Planned::next("condor_submit", away).always());
    let life = begins(&scripted, |options| options.max_jobs_in_queue = room + 1).await;
    life.is_ready().await;
    scripted.calls_more("condor_submit", 1).await;
    life.end().await;
    let life = begins(&scripted, |options| options.max_jobs_in_queue = 0).await;
    life.until("crowd", "two wait again", |view| view.waiting == 2).await;
    life.try_wish(pod("accepted")).await.unwrap();
    life.end().await;
    scripted.finish(&key("unjudged"), Ending::code(0));
    keep(&scripted, "settled");
}

async fn submitting() {
    let scripted = Scripted::new();
    let life = begins(&scripted, |options| options.max_jobs_per_submission = 1).await;
    life.is_ready().await;
    scripted.plan(Planned::next("condor_q", Fault::Hang).always());
    scripted.plan(Planned::next("condor_submit", Fault::CommitThenFail("ERROR: Failed to connect".to_owned())).after(1));
    scripted.plan(Planned::next("condor_submit", Fault::WaitBeforeCommit).after(2));
    life.try_wish(htcjob("burst", 5)).await.unwrap();
    scripted.eventually("three are begun", |state| {
        state.calls.iter().filter(|call| call.tool == "condor_submit").count() == 3
    })
    .await;
    life.try_wish(pod("accepted")).await.unwrap();
    // The machine stops here.
    keep(&scripted, "submitting");
    scripted.heal();
    scripted.let_go_on();
    scripted.pass_deadlines();
    life.end().await;
}

/// Writes down what there is, with a placeholder for the test's folder.
fn keep(scripted: &Scripted, scene: &str) {
    let out = PathBuf::from(std::env::var("HTC_FIXTURES").unwrap()).join(scene);
    std::fs::create_dir_all(&out).unwrap();
    let here = scripted.path().display().to_string();
    let write = |name: &str, text: &str| std::fs::write(out.join(name), text.replace(&here, HERE)).unwrap();
    write("store.sql", &dump(&scripted.path().join("data/htcjobs.db")));
    let state = scripted.state();
    let pool = json!({
        "cluster": state.cluster, "commits": state.commits, "queue": state.queue, "history": state.history,
    });
    write("pool.json", &format!("{pool:#}\n"));
    let mut files = BTreeMap::new();
    for folder in ["data/jobs", "data/intents", "spool"] {
        collect(scripted.path(), &scripted.path().join(folder), &mut files);
    }
    write("files.json", &format!("{:#}\n", Value::from_iter(files)));
}

/// All files below a folder and their text; a folder without any ends with a slash.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    let entries: Vec<_> = std::fs::read_dir(folder).map(|all| all.map(Result::unwrap).collect()).unwrap_or_default();
    if entries.is_empty() {
        files.insert(format!("{}/", name(folder)), String::new());
    }
    for path in entries.iter().map(std::fs::DirEntry::path) {
        match path.is_dir() {
            true => collect(root, &path, files),
            false => drop(files.insert(name(&path), std::fs::read_to_string(&path).unwrap())),
        }
    }
}

/// The database as SQL.
fn dump(path: &Path) -> String {
    let database = Connection::open(path).unwrap();
    let list = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let mut text: String = list("SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%'")
        .into_iter()
        .map(|sql| sql + ";\n")
        .collect();
    for table in list("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
        let columns = list(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let names = columns.join(", ");
        let rows = list(&format!("SELECT {} FROM {table}", quoted.join(" || ', ' || ")));
        rows.iter().for_each(|row| text += &format!("INSERT INTO {table} ({names}) VALUES ({row});\n"));
    }
    let version = database.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    text + &format!("PRAGMA user_version = {version};\n")
}
