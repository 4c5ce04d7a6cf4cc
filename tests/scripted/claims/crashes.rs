//! The operator may die after any line: what was begun is brought to its end, once.
//!
//! Each trial kills the engine at one crash point, starts it again, and looks at the pool's journal.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use htc_core::workload::names::JobKey;
use htc_operator::config::crash::POINTS;
use libtest_mimic::Trial;

use super::submit;
use crate::harness::{Plan, When};
use crate::pool::{Event, Fault, Scripted};

/// Points of the HTCJob door; its own tests die there.
const ELSEWHERE: &[&str] = &["finalizer-set", "inherited-durable", "status-written", "finalizer-removed"];

/// Points that a submission passes, and what may pass before and after it.
const SUBMITTING: &[&str] = &[
    "wish-durable",
    "intent-durable",
    "submit-files-written",
    "submit-tool-started",
    "submit-id-read",
    "submit-id-durable",
    "submit-tool-ended",
    "origin-durable",
    "settle-before-durable",
    "settle-before-durable:2",
    "settle-before-durable:3",
    "settle-durable",
    "settle-durable:2",
    "settle-durable:3",
    "store-before-commit",
    "store-before-commit:2",
    "store-before-commit:3",
    "store-before-commit:4",
    "store-after-commit",
    "store-after-commit:2",
    "store-after-commit:3",
    "store-after-commit:4",
];

/// Points of jobs that end and leave.
const ENDING: &[&str] = &[
    "report-durable",
    "end-durable",
    "spent-forgotten",
    "outputs-fetched",
    "outputs-durable",
    "published-durable",
    "acknowledged",
    "store-before-commit:6",
    "store-after-commit:6",
];

/// Points of a workload that shall be gone.
const LEAVING: &[&str] = &["workload-acknowledged", "removed", "gone-durable"];

/// Points of outputs whose time is over.
const COLLECTING: &[&str] = &["outputs-removed", "outputs-collected", "outputs-collected:2"];

/// Points of second copies.
const COPIES: &[&str] = &["copies-removed"];

/// Points of jobs that may start only once and lose their machines.
const SPENT: &[&str] = &["end-durable", "published-durable", "spent-acknowledged"];

/// Points of jobs whose first machine could start nothing of them.
const FAULTY: &[&str] = &[
    "outputs-fetched",
    "worker-fault-durable",
    "acknowledged",
    "settle-before-durable:3",
    "settle-before-durable:4",
    "settle-durable:3",
    "settle-durable:4",
    "intent-durable:2",
    "submit-tool-started:2",
    "submit-id-durable:2",
    "store-after-commit:6",
];

/// Points of jobs whose files did not arrive.
const UNSTAGED: &[&str] = &["submit-tool-ended", "unstaged-removed", "settle-durable:3", "settle-durable:4"];

/// What happens around a crash.
struct Scene {
    name: &'static str,
    points: &'static [&'static [&'static str]],
    gone: Option<When>,
    fault: Option<Fault>,
    /// Whether outputs are removed soon after the end.
    collect: bool,
    /// Whether jobs may start only once, and all lose their machines.
    evicted: bool,
    /// Whether the first machine can start nothing of a user's, and jobs may start only once.
    faulty: bool,
    /// Copies of the first job that an earlier life left in the queue.
    copies: &'static [&'static str],
}

const PLAIN: Scene = Scene {
    name: "run",
    points: &[SUBMITTING, ENDING],
    gone: None,
    fault: None,
    collect: false,
    evicted: false,
    faulty: false,
    copies: &[],
};

const SCENES: &[Scene] = &[
    Scene { name: "unstaged", points: &[UNSTAGED], fault: Some(Fault::SpoolFails), ..PLAIN },
    PLAIN,
    Scene { name: "collected", points: &[COLLECTING], collect: true, ..PLAIN },
    Scene { name: "evicted", points: &[SPENT], evicted: true, ..PLAIN },
    Scene { name: "faulty", points: &[FAULTY], faulty: true, ..PLAIN },
    Scene { name: "copies", points: &[COPIES], copies: &["a/0/0/7", "a/0/0/8"], ..PLAIN },
    Scene {
        name: "gone_while_submitting",
        points: &[SUBMITTING, LEAVING],
        gone: Some(When::Submitting),
        ..PLAIN
    },
    Scene { name: "gone_while_running", points: &[LEAVING], gone: Some(When::Running), ..PLAIN },
    Scene { name: "gone_after_the_end", points: &[LEAVING], gone: Some(When::Ended), ..PLAIN },
];

/// One trial for each point of each scene.
pub fn all() -> Vec<Trial> {
    let one = |scene: &'static Scene, point: &'static str| {
        Trial::test(format!("crashes::{}::{point}", scene.name), move || {
            crash(scene, point);
            Ok(())
        })
    };
    let points = |scene: &'static Scene| scene.points.iter().copied().flatten().map(move |p| one(scene, p));
    let complete = Trial::test("crashes::every_crash_point_is_tried", || {
        every_crash_point_is_tried();
        Ok(())
    });
    SCENES.iter().flat_map(points).chain([complete]).collect()
}

fn every_crash_point_is_tried() {
    let tried = SCENES.iter().flat_map(|scene| scene.points.iter().copied().flatten());
    let tried = tried.map(|point| point.split(':').next().unwrap());
    let covered: BTreeSet<&str> = tried.chain(ELSEWHERE.iter().copied()).collect();
    assert_eq!(covered, POINTS.iter().copied().collect());
}

fn crash(scene: &Scene, point: &str) {
    let scripted = Scripted::new();
    for copy in scene.copies {
        super::finish(async { submit(&scripted, &[copy]).await.1.unwrap() });
    }
    if !scene.evicted {
        scripted.auto_run(0);
    }
    if scene.faulty {
        scripted.machines(&[("w1", Some("no apptainer")), ("w2", None)]);
    }
    if let Some(fault) = &scene.fault {
        scripted.fault("condor_submit", fault.clone());
    }
    let again = !scene.copies.is_empty();
    let workloads = match again {
        true => vec![("a".to_owned(), 1)],
        false => vec![("a".to_owned(), 3), ("b".to_owned(), 1)],
    };
    let plan = Plan {
        data: scripted.path().join("data"),
        workloads,
        again,
        gone: scene.gone,
        collect: scene.collect,
        evicted: scene.evicted,
        once: scene.faulty,
    };

    let first = harness(&scripted, &plan, Some(point));
    let said = String::from_utf8_lossy(&first.stderr);
    let name = point.split(':').next().unwrap();
    assert_eq!(first.status.signal(), Some(6), "{point} was not passed: {:?} {said}", first.status);
    assert!(said.contains(&format!("crash point {name}\n")), "{said}");

    let second = harness(&scripted, &plan, None);
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.success(), "after {point}: {said} {:#?}", scripted.journal());
    match scene.copies {
        [] if scene.faulty => one_after_the_other(&scripted),
        [] => once(&scripted),
        _ => {}
    }
    assert!(scripted.jobs().is_empty(), "{:?}", scripted.jobs());
    match scene.gone {
        None if scene.evicted => all_came_to("Evicted", &plan, &String::from_utf8_lossy(&second.stdout)),
        None => all_have_run(&scripted, &plan, &String::from_utf8_lossy(&second.stdout)),
        Some(_) => assert!(!plan.data.join("jobs/a").exists() && !plan.data.join("jobs/b").exists()),
    }
}

/// Runs the engine in a process of its own.
fn harness(scripted: &Scripted, plan: &Plan, point: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["engine", &serde_json::to_string(plan).unwrap()]).env_clear().envs(scripted.environment());
    command.envs(point.map(|point| ("HTC_CRASH_POINT", point))).stdin(Stdio::null());
    command.output().unwrap()
}

/// No key was committed twice, and of no attempt two submissions ever got their files or started.
pub fn once(scripted: &Scripted) {
    let mut committed: BTreeMap<String, u32> = BTreeMap::new();
    let mut alive: BTreeMap<(String, u32, u32), BTreeSet<String>> = BTreeMap::new();
    for entry in scripted.journal() {
        let key: JobKey = entry.key.parse().unwrap();
        match entry.event {
            Event::Committed => *committed.entry(entry.key).or_default() += 1,
            Event::Staged | Event::Started => {
                alive.entry((key.uid.to_string(), key.index, key.attempt)).or_default().insert(entry.job);
            }
            _ => {}
        }
    }
    assert!(committed.values().all(|times| *times == 1), "{committed:?}");
    assert!(alive.values().all(|jobs| jobs.len() == 1), "{alive:?}");
}

/// No key was committed twice, and a submission only when the one before had left the queue.
fn one_after_the_other(scripted: &Scripted) {
    let mut present: BTreeMap<(String, u32), String> = BTreeMap::new();
    let mut committed = BTreeSet::new();
    for entry in scripted.journal() {
        let key: JobKey = entry.key.parse().unwrap();
        let index = (key.uid.to_string(), key.index);
        match entry.event {
            Event::Committed => {
                assert!(committed.insert(entry.key.clone()), "{} was committed twice", entry.key);
                assert_eq!(present.insert(index, entry.key), None, "two of one index are in the queue");
            }
            Event::Left | Event::Vanished => drop(present.remove(&index)),
            _ => {}
        }
    }
    assert_eq!(committed.len(), 8, "each index was tried on both machines: {committed:?}");
}

/// Every index ran to its end, whose files are home, and the engine says so.
fn all_have_run(scripted: &Scripted, plan: &Plan, said: &str) {
    let mut ended: BTreeMap<String, u32> = BTreeMap::new();
    for entry in scripted.journal() {
        if entry.event == Event::Ended(0) {
            let key: JobKey = entry.key.parse().unwrap();
            *ended.entry(key.uid.to_string()).or_default() += 1;
            if plan.again {
                continue;
            }
            let folder = format!("jobs/{}/{}.{}.{}", key.uid, key.index, key.attempt, key.submission);
            let file = |name: &str| plan.data.join(Path::new(&folder)).join(name);
            let is_home = file("result.json").is_file() && file("work/out.txt").is_file();
            assert_eq!(is_home, !plan.collect, "{folder}");
        }
    }
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), plan.workloads);
    all_came_to("Succeeded", plan, said);
}

fn all_came_to(outcome: &str, plan: &Plan, said: &str) {
    for (name, indices) in &plan.workloads {
        let all = vec![format!("Some({outcome})"); *indices as usize].join(", ");
        assert!(said.contains(&format!("{name} [{all}]\n")), "{said}");
    }
}
