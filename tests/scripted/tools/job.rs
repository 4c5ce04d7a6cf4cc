//! The life of a job: how its ad moves from state to state, and the files that it leaves.

use std::path::{Path, PathBuf};

use htc_core::result::{self, Signer};
use htc_core::workload::names::JobKey;
use htc_core::workload::report::{CANNOT_RUN, ContainerState, ContainerStatus, Phase, RESULT_FILE, Report};
use htc_core::workload::spec;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::constraint::Expression;
use super::state::{Ad, Event, Machine, State};

/// The attribute with our key.
pub const KEY: &str = "HTCOperatorKey";

/// A whole number of an ad.
pub fn int(ad: &Ad, name: &str) -> Option<i64> {
    ad.get(name).and_then(Value::as_i64)
}

/// A text of an ad; empty without.
pub fn text<'a>(ad: &'a Ad, name: &str) -> &'a str {
    ad.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `cluster.proc`.
pub fn id(ad: &Ad) -> String {
    let number = |name| int(ad, name).unwrap_or(-1);
    format!("{}.{}", number("ClusterId"), number("ProcId"))
}

/// Whether they are the same job.
pub fn is_same(one: &Ad, other: &Ad) -> bool {
    ["ProcId", "ClusterId"].iter().all(|name| int(one, name) == int(other, name))
}

/// Whether it was removed or has ended.
pub fn is_over(ad: &Ad) -> bool {
    matches!(int(ad, "JobStatus"), Some(3 | 4))
}

/// Sets attributes.
pub fn set(ad: &mut Ad, attributes: Value) {
    if let Value::Object(attributes) = attributes {
        ad.extend(attributes);
    }
}

/// How a job ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The sender's exit code.
    pub code: i32,
    /// A signal that ended the sender instead.
    pub signal: Option<i32>,
    /// Whether the sender came to write its result; else the file is empty.
    pub result: bool,
}

impl Ending {
    /// With this exit code and a result.
    pub fn code(code: i32) -> Ending {
        Ending { code, signal: None, result: true }
    }

    /// By a signal, without a result.
    pub fn signal(signal: i32) -> Ending {
        Ending { code: 128 + signal, signal: Some(signal), result: false }
    }

    /// The same, but the result file is empty.
    pub fn without_result(self) -> Ending {
        Ending { result: false, ..self }
    }
}

/// The folder of a job in the spool.
pub fn spool(root: &Path, ad: &Ad) -> PathBuf {
    root.join(id(ad))
}

/// The files that a job brings home.
pub fn outputs(ad: &Ad) -> Vec<&str> {
    let named = text(ad, "TransferOutput").split(',').chain([text(ad, "Out")]);
    named.map(str::trim).filter(|name| !name.is_empty()).collect()
}

impl State {
    /// Lets an idle job start, if it can. Gives whether it did.
    pub fn start(&mut self, place: usize) -> bool {
        let (now, root) = (self.now(), self.spool.clone());
        let Some(ad) = self.queue.get_mut(place) else { return false };
        let may_start = |ad: &Ad| {
            let never = Expression::of_ad(text(ad, "Requirements")).is_ok_and(|requirements| {
                matches!(requirements.value(ad, now), super::constraint::Value::Bool(false))
            });
            !never && ad.get("Requirements") != Some(&Value::Bool(false))
        };
        let matches = |machine: &&Machine| {
            let mut both = ad.clone();
            both.insert("TARGET.Machine".to_owned(), machine.name.clone().into());
            may_start(&both)
        };
        let machine = self.machines.iter().find(matches).map(|machine| machine.name.clone());
        let has_place = if self.machines.is_empty() { may_start(ad) } else { machine.is_some() };
        if int(ad, "JobStatus") != Some(1) || !has_place {
            return false;
        }
        if let Some(machine) = machine {
            set(ad, json!({ "RemoteHost": format!("slot1_1@{machine}") }));
        }
        let starts = int(ad, "NumShadowStarts").unwrap_or(0) + 1;
        for log in outputs(ad).into_iter().filter(|name| name.starts_with("log.")) {
            // Each start has a folder of its own; mostly this is the first.
            let _ = std::fs::remove_file(spool(&root, ad).join(log));
        }
        set(
            ad,
            json!({
                "JobStatus": 2, "LastJobStatus": 1, "EnteredCurrentStatus": now, "JobCurrentStartDate": now,
                "JobStartDate": now, "NumShadowStarts": starts, "NumJobStarts": starts,
            }),
        );
        let ad = ad.clone();
        self.record(&ad, Event::Started);
        true
    }

    /// Ends a running job; its files are in the spool then.
    pub fn finish(&mut self, place: usize, ending: Ending) -> std::io::Result<()> {
        let (now, root) = (self.now(), self.spool.clone());
        let Some(ad) = self.queue.get_mut(place) else { return Ok(()) };
        let slot = text(ad, "RemoteHost").to_owned();
        let machine = self.machines.iter().find(|machine| slot.ends_with(&format!("@{}", machine.name)));
        let fault = machine.and_then(|machine| machine.fault.clone());
        let code = if fault.is_some() { CANNOT_RUN } else { ending.code };
        let ending = Ending { code, ..ending };
        write_outputs(&root, ad, ending, fault.as_deref(), now)?;
        if !slot.is_empty() {
            ad.remove("RemoteHost");
            set(ad, json!({ "LastRemoteHost": slot }));
        }
        let exit = match ending.signal {
            Some(signal) => json!({ "ExitBySignal": true, "ExitSignal": signal }),
            None => json!({ "ExitBySignal": false, "ExitCode": ending.code }),
        };
        set(ad, exit);
        set(
            ad,
            json!({ "JobStatus": 4, "LastJobStatus": 2, "EnteredCurrentStatus": now, "CompletionDate": now }),
        );
        let ad = ad.clone();
        self.record(&ad, Event::Ended(ending.code));
        // Without a `leave_in_queue` a job is gone as soon as it has ended.
        if !self.is_held_back(&ad) {
            self.let_leave(|other| is_same(other, &ad));
        }
        Ok(())
    }

    /// Puts a job on hold.
    pub fn hold(&mut self, place: usize, code: i64, subcode: i64, reason: &str) {
        let now = self.now();
        if let Some(ad) = self.queue.get_mut(place) {
            set(
                ad,
                json!({
                    "JobStatus": 5, "EnteredCurrentStatus": now, "HoldReason": reason,
                    "HoldReasonCode": code, "HoldReasonSubCode": subcode,
                }),
            );
        }
    }

    /// Takes a running or held job back to idle: an eviction, or a release.
    pub fn make_idle(&mut self, place: usize) {
        let now = self.now();
        if let Some(ad) = self.queue.get_mut(place) {
            set(
                ad,
                json!({
                    "JobStatus": 1, "EnteredCurrentStatus": now,
                    "HoldReason": null, "HoldReasonCode": null, "HoldReasonSubCode": null,
                }),
            );
        }
    }

    /// Marks a job as removed.
    pub fn remove(&mut self, place: usize, reason: &str) {
        let now = self.now();
        let Some(ad) = self.queue.get_mut(place) else { return };
        if int(ad, "JobStatus") == Some(2) {
            set(ad, json!({ "ExitCode": 143, "ExitBySignal": false }));
        }
        set(ad, json!({ "JobStatus": 3, "EnteredCurrentStatus": now, "RemoveReason": reason }));
        let ad = ad.clone();
        self.record(&ad, Event::Removed);
    }

    /// Moves every job one step towards its end with this exit code.
    pub fn advance(&mut self, code: i32) -> std::io::Result<()> {
        for place in (0..self.queue.len()).rev() {
            match self.queue.get(place).and_then(|ad| int(ad, "JobStatus")) {
                Some(1) => drop(self.start(place)),
                Some(2) => self.finish(place, Ending::code(code))?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn write_outputs(root: &Path, ad: &Ad, ending: Ending, fault: Option<&str>, now: i64) -> std::io::Result<()> {
    let folder = spool(root, ad);
    std::fs::create_dir_all(&folder)?;
    for name in outputs(ad) {
        let path = folder.join(name);
        match name {
            RESULT_FILE if ending.result => std::fs::write(path, result(&folder, ad, ending, fault, now)?)?,
            "work" => {
                std::fs::create_dir_all(&path)?;
                std::fs::write(path.join("out.txt"), text(ad, KEY))?;
            }
            // What the job wrote itself stays.
            _ if name.starts_with("log.") && path.exists() => {}
            _ if name.starts_with("log.") && !name.ends_with(".prev") => {
                std::fs::write(path, format!("{} said {name}\n", text(ad, KEY)))?;
            }
            _ => std::fs::write(path, "")?,
        }
    }
    Ok(())
}

/// The sender's last report.
fn result(folder: &Path, ad: &Ad, ending: Ending, fault: Option<&str>, now: i64) -> std::io::Result<Vec<u8>> {
    let told: Value = std::fs::read(folder.join(spec::FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let word = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let now = Timestamp::from_second(now).map_err(std::io::Error::other)?;
    let key: JobKey = text(ad, KEY).parse().map_err(std::io::Error::other)?;
    let ended = |name: &str, exit_code: i32| ContainerStatus {
        name: name.to_owned(),
        state: ContainerState::Terminated {
            exit_code,
            signal: None,
            reason: match (fault, exit_code) {
                (Some(_), _) => "ContainerCannotRun",
                (None, 0) => "Completed",
                (None, _) => "Error",
            }
            .to_owned(),
            message: fault.unwrap_or_default().to_owned(),
            started_at: fault.is_none().then_some(now),
            finished_at: now,
        },
    };
    let inits = told.get("initContainers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let inits: Vec<&str> = inits.iter().filter_map(|init| init.get("name")?.as_str()).collect();
    let names = outputs(ad).into_iter().filter_map(|name| name.strip_prefix("log."));
    let names = names.filter(|name| !name.ends_with(".prev") && !inits.contains(name));
    let report = Report {
        name: word("name"),
        namespace: word("namespace"),
        jobid: Some(id(ad)),
        retcode: Some(ending.code),
        key,
        start: int(ad, "NumShadowStarts").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        seq: 1,
        now,
        phase: Phase::Done,
        cut: None,
        worker_fault: fault.map(str::to_owned),
        left_out: None,
        // They have done their work, or the others had not begun.
        init_containers: inits.iter().map(|name| ended(name, 0)).collect(),
        containers: names.map(|name| ended(name, ending.code)).collect(),
    };
    // As the sender does: where it is told how to report, it signs.
    let events =
        told.get("events").and_then(|events| serde_json::from_value::<spec::Events>(events.clone()).ok());
    let signer = events.as_ref().map(|events| Signer { key_id: &events.key_id, key: &events.key });
    Ok(result::write(&report, signer))
}
