//! What a test plans to go wrong.

use serde::{Deserialize, Serialize};

/// Something that goes wrong in a call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Any tool: does nothing, says this, exit code 1.
    Fail(String),
    /// Any tool: does nothing, says this, ends with this exit code.
    Exit {
        /// The exit code.
        code: u8,
        /// Said to stderr.
        text: String,
    },
    /// Any tool: does nothing, a signal ends it.
    Signal(i32),
    /// Any tool: as measured in an outage.
    Outage(Outage),
    /// Any tool: never answers and does nothing.
    Hang,
    /// Any tool but `condor_q`: does what it was asked, then says this with exit code 1. A
    /// `condor_submit` prints no id and sends no files.
    CommitThenFail(String),
    /// Any tool but `condor_q`: does what it was asked and never ends. A `condor_submit` sends no
    /// files, and prints the id or not.
    CommitThenHang {
        /// Whether `condor_submit` prints the id.
        print: bool,
    },
    /// `condor_rm`, `condor_qedit`, `condor_transfer_data`: says that all went well but did nothing.
    /// `condor_q`: the queue is empty, as that of a schedd without its spool.
    NothingDone,
    /// `condor_q`: this text of the answer is another one, in which 0x1A stands for the byte 0xFF.
    Garble {
        /// In the answer.
        from: String,
        /// What stands there instead.
        to: String,
    },
    /// `condor_q`: where it is asked for jobs of another owner than alice, they say more than anybody reads.
    Flood,
    /// `condor_submit`: every description with this text in the value of a command is refused with
    /// that text. Stays, and is no call's fault.
    Refuse {
        /// In the value.
        marker: String,
        /// Said to stderr.
        text: String,
    },
    /// `condor_submit`: the schedd takes no description that brings its queue above so many jobs. Stays,
    /// and is no call's fault.
    FullAt(usize),
    /// `condor_submit`: the schedd takes no description of more than so many jobs. Stays, and is no call's
    /// fault.
    AtOnce(usize),
    /// `condor_submit`: the files of more than so many jobs travel for ever, after the id is printed. Stays,
    /// and is no call's fault.
    SlowAbove(usize),
    /// `condor_submit`: prints the id, fails to send the files; all its jobs stay held with code 16.
    SpoolFails,
    /// `condor_submit`: exit code 0, but all its jobs stay held with code 16.
    ExitZeroButHeld,
    /// `condor_submit`: waits for the test's leave before it commits.
    WaitBeforeCommit,
    /// `condor_submit`: waits for the test's leave after it has printed the id.
    WaitAfterId,
    /// `condor_q`: half of the answer, with this exit code. `condor_transfer_data`: the files of
    /// the first half of the jobs.
    HalfOutput {
        /// The exit code.
        code: u8,
    },
    /// `condor_q`: a slow worker. It waits until a submission that is committed after it began has
    /// come to its end, and answers from before.
    Lag,
    /// Before the call: the job with this key is gone without a trace.
    VanishJob(String),
    /// Before the call: the history is empty.
    ForgetHistory,
    /// Before the call: cluster numbers start again.
    ReuseIds,
}

/// Outages that were measured on a real pool; each has its own texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outage {
    /// Nothing of the pool is there.
    Pool,
    /// The collector is there but knows no schedd.
    ScheddOff,
    /// The schedd is dead but the collector does not know yet.
    ScheddKilled,
}

const UNKNOWN_COMMAND: &str =
    "SECMAN:2011:Connection closed during command authorization. Probably due to an unknown command.";

impl Outage {
    /// What a tool says then.
    pub fn text(self, tool: &str, arguments: &[String]) -> String {
        let constraint = arguments.iter().skip_while(|a| *a != "-constraint").nth(1).map_or("", |c| c);
        match (self, tool) {
            (Outage::ScheddKilled, "condor_submit") => {
                format!("ERROR: Failed to connect to queue manager test@pool\n{UNKNOWN_COMMAND}")
            }
            (_, "condor_submit") => "ERROR: Can't find address of schedd".to_owned(),
            (Outage::Pool, "condor_q" | "condor_status") => {
                "Error: Couldn't contact the condor_collector on pool".to_owned()
            }
            (Outage::ScheddOff, "condor_q") => {
                "Error: Collector has no record of schedd/submitter".to_owned()
            }
            (Outage::ScheddKilled, "condor_q") => "-- Failed to fetch ads from: <127.0.0.1:9618> : pool\n\
                 SECMAN:2007:Failed to end classad message."
                .to_owned(),
            (_, "condor_history") => "Unable to locate remote schedd".to_owned(),
            (Outage::Pool, _) => format!("{tool}: (null)"),
            (Outage::ScheddOff, _) => "Can't find address for schedd test@pool".to_owned(),
            // The same last line as when nothing matches: only the first tells.
            (Outage::ScheddKilled, "condor_rm") => {
                format!(
                    "{UNKNOWN_COMMAND}\n\nCouldn't find/remove all jobs matching constraint ({constraint})"
                )
            }
            (Outage::ScheddKilled, _) => UNKNOWN_COMMAND.to_owned(),
        }
    }
}

/// A fault and the calls that it is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    fault: Fault,
    /// Which tool; every one without.
    tool: Option<String>,
    /// So many calls go well before.
    skip: u32,
    /// So many calls have it; all without.
    times: Option<u32>,
}

impl Planned {
    /// For the next call of this tool.
    pub fn next(tool: &str, fault: Fault) -> Planned {
        Planned { fault, tool: Some(tool.to_owned()), skip: 0, times: Some(1) }
    }

    /// For every call of every tool.
    pub fn everywhere(fault: Fault) -> Planned {
        Planned { fault, tool: None, skip: 0, times: None }
    }

    /// Only after so many further calls.
    pub fn after(self, skip: u32) -> Planned {
        Planned { skip, ..self }
    }

    /// For so many calls in a row.
    pub fn times(self, times: u32) -> Planned {
        Planned { times: Some(times), ..self }
    }

    /// For all further calls.
    pub fn always(self) -> Planned {
        Planned { times: None, ..self }
    }

    /// Takes what strikes this call of a tool: changes of the state, and at most one fault of the
    /// tool itself, the earliest planned. All plans for the tool count the call.
    pub fn take(plan: &mut Vec<Planned>, tool: &str) -> (Vec<Fault>, Option<Fault>) {
        let (mut changes, mut struck) = (Vec::new(), None);
        for planned in plan.iter_mut() {
            let other_tool = planned.tool.as_ref().is_some_and(|name| name != tool);
            if other_tool
                || matches!(
                    planned.fault,
                    Fault::Refuse { .. } | Fault::FullAt(_) | Fault::AtOnce(_) | Fault::SlowAbove(_)
                )
            {
                continue;
            }
            if planned.skip > 0 {
                planned.skip -= 1;
                continue;
            }
            match &planned.fault {
                change @ (Fault::VanishJob(_) | Fault::ForgetHistory | Fault::ReuseIds) => {
                    changes.push(change.clone());
                }
                fault if struck.is_none() => struck = Some(fault.clone()),
                _ => continue,
            }
            planned.times = planned.times.map(|times| times.saturating_sub(1));
        }
        plan.retain(|planned| planned.times != Some(0));
        (changes, struck)
    }

    /// How many jobs the schedd takes.
    pub fn room(plan: &[Planned]) -> Option<usize> {
        plan.iter().find_map(|planned| match planned.fault {
            Fault::FullAt(jobs) => Some(jobs),
            _ => None,
        })
    }

    /// How many jobs the schedd takes at once.
    pub fn at_once(plan: &[Planned]) -> Option<usize> {
        plan.iter().find_map(|planned| match planned.fault {
            Fault::AtOnce(jobs) => Some(jobs),
            _ => None,
        })
    }

    /// Whether the files of so many jobs travel for ever.
    pub fn is_slow(plan: &[Planned], jobs: usize) -> bool {
        plan.iter().any(|planned| matches!(planned.fault, Fault::SlowAbove(most) if jobs > most))
    }

    /// The text with which a description with these values is refused.
    pub fn refusal<'a>(plan: &[Planned], values: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
        plan.iter().find_map(|planned| match &planned.fault {
            Fault::Refuse { marker, text } if values.clone().any(|v| v.contains(marker)) => {
                Some(text.clone())
            }
            _ => None,
        })
    }
}
