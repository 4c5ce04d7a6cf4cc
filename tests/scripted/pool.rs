//! The tests' side of the scripted pool: a folder with the tools for `PATH`, and verbs for what a
//! pool, its admin and the test's plan do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use htc_operator::condor::pool::Pool;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use crate::tools::faults::{Fault, Outage, Planned};
pub use crate::tools::job::Ending;
use crate::tools::job::{self, id, int};
pub use crate::tools::state::{Ad, CallRecord, Entry, Event};
use crate::tools::state::{Machine, Schedd, State};
use crate::tools::{self, STATE_VARIABLE};

/// A pool that does what a test plans. When it goes away it fails the test if a tool was asked for
/// something that no script exists for.
pub struct Scripted {
    folder: TempDir,
    schedd: Schedd,
}

/// Test code: a state file that cannot be read ends the test.
fn expect<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("the scripted pool's files: {error}"))
}

impl Scripted {
    /// An empty pool in a folder of its own.
    pub fn new() -> Scripted {
        let folder = expect(TempDir::with_prefix("scripted-"));
        let tools = folder.path().join("bin");
        let jobs = folder.path().join("jobs");
        expect(std::fs::create_dir(&tools));
        expect(std::fs::create_dir(&jobs));
        let this = expect(std::env::current_exe());
        for name in tools::NAMES {
            expect(std::os::unix::fs::symlink(&this, tools.join(name)));
        }
        let schedd = Schedd::new(&folder.path().join("state.json"));
        Scripted { folder, schedd }
    }

    /// The folder of everything, for files of the test itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the tools need of an environment; also for processes that start them.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |name: &str| self.folder.path().join(name).display().to_string();
        let path = format!("{}:/usr/bin:/bin", text("bin"));
        vec![("PATH".to_owned(), path), (STATE_VARIABLE.to_owned(), text("state.json"))]
    }

    /// The pool for our own code.
    pub fn pool(&self) -> Pool {
        Pool { environment: self.environment(), ..Pool::default() }
    }

    /// Makes the folder of a job, with a `job.json` in it.
    pub fn job_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join("jobs").join(name);
        expect(std::fs::create_dir_all(&folder));
        expect(std::fs::write(folder.join("job.json"), r#"{"name":"test","namespace":"default"}"#));
        folder
    }

    /// The whole state.
    pub fn state(&self) -> State {
        expect(self.schedd.read())
    }

    /// The ads in the queue.
    pub fn jobs(&self) -> Vec<Ad> {
        self.state().queue
    }

    /// The ads that have left it.
    pub fn history(&self) -> Vec<Ad> {
        self.state().history
    }

    /// The ad of the job with this key, if it is in the queue; of two the older.
    pub fn job(&self, key: &str) -> Option<Ad> {
        self.jobs().into_iter().find(|ad| job::text(ad, job::KEY) == key)
    }

    /// What happened to jobs, for ever.
    pub fn journal(&self) -> Vec<Entry> {
        expect(self.schedd.journal())
    }

    /// The keys that were committed, in order, each as often as it was.
    pub fn committed(&self) -> Vec<String> {
        self.journal().into_iter().filter(|e| e.event == Event::Committed).map(|e| e.key).collect()
    }

    /// How many submissions were committed.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    /// The calls of a tool so far.
    pub fn calls(&self, tool: &str) -> Vec<CallRecord> {
        self.state().calls.into_iter().filter(|call| call.tool == tool).collect()
    }

    /// Plans a fault for the next call of a tool.
    pub fn fault(&self, tool: &str, fault: Fault) {
        self.plan(Planned::next(tool, fault));
    }

    /// Plans a fault.
    pub fn plan(&self, planned: Planned) {
        self.change(|state| state.plan.push(planned));
    }

    /// Everything goes well from now on.
    pub fn heal(&self) {
        self.change(|state| state.plan.clear());
    }

    /// Changes the state.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        expect(self.schedd.change(change))
    }

    fn on(&self, key: &str, deed: impl FnOnce(&mut State, usize)) {
        self.change(|state| {
            let place = state.queue.iter().position(|ad| job::text(ad, job::KEY) == key);
            deed(state, place.unwrap_or_else(|| panic!("no job {key} is in the queue")));
        });
    }

    /// Starts every idle job that can; gives how many.
    pub fn start_jobs(&self) -> usize {
        self.change(|state| (0..state.queue.len()).filter(|place| state.start(*place)).count())
    }

    /// Ends every running job.
    pub fn finish_jobs(&self, ending: Ending) {
        self.change(|state| {
            for place in (0..state.queue.len()).rev() {
                if int(&state.queue[place], "JobStatus") == Some(2) {
                    expect(state.finish(place, ending));
                }
            }
        });
    }

    /// Starts every idle job and ends it with this exit code; gives how many started.
    pub fn run_jobs(&self, code: i32) -> usize {
        let started = self.start_jobs();
        self.finish_jobs(Ending::code(code));
        started
    }

    /// From now on every `condor_q` moves all jobs a step towards an end with this exit code.
    pub fn auto_run(&self, code: i32) {
        self.change(|state| state.auto_run = Some(code));
    }

    /// The pool has these machines; those with a fault can start nothing of a user's.
    pub fn machines(&self, machines: &[(&str, Option<&str>)]) {
        let machine = |(name, fault): &(&str, Option<&str>)| Machine {
            name: (*name).to_owned(),
            fault: fault.map(str::to_owned),
        };
        let machines: Vec<Machine> = machines.iter().map(machine).collect();
        self.change(|state| state.machines = machines);
    }

    /// Ends one job.
    pub fn finish(&self, key: &str, ending: Ending) {
        self.on(key, |state, place| expect(state.finish(place, ending)));
    }

    /// A running job writes to one of its files.
    pub fn write(&self, key: &str, file: &str, text: &str) {
        self.on(key, |state, place| {
            let folder = job::spool(&state.spool, &state.queue[place]);
            expect(std::fs::create_dir_all(&folder));
            let mut options = std::fs::OpenOptions::new();
            let mut file = expect(options.append(true).create(true).open(folder.join(file)));
            expect(io::Write::write_all(&mut file, text.as_bytes()));
        });
    }

    /// Puts a job on hold.
    pub fn hold(&self, key: &str, code: i64, subcode: i64, reason: &str) {
        self.on(key, |state, place| state.hold(place, code, subcode, reason));
    }

    /// Takes a job from its machine, or from hold.
    pub fn make_idle(&self, key: &str) {
        self.on(key, State::make_idle);
    }

    /// An admin removes a job.
    pub fn remove(&self, key: &str) {
        self.on(key, |state, place| {
            let job = id(&state.queue[place]);
            state.remove(place, "via condor_rm (by user root)");
            state.let_leave(|ad| id(ad) == job);
        });
    }

    /// Sets attributes of a job.
    pub fn set(&self, key: &str, attributes: serde_json::Value) {
        self.on(key, |state, place| job::set(&mut state.queue[place], attributes));
    }

    /// The jobs that still wait for files have them now: the moment between the end of
    /// `condor_submit` and idle.
    pub fn stage_jobs(&self) {
        self.change(|state| {
            let jobs = state.queue.clone();
            tools::submit::release(state, &jobs);
        });
    }

    /// The schedd's clock goes ahead.
    pub fn pass(&self, time: Duration) {
        self.change(|state| state.ahead += i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    }

    /// The schedd looks at `leave_in_queue` of all jobs, as it does every minute.
    pub fn tidy(&self) {
        self.change(|state| state.let_leave(|_| true));
    }

    /// Lets the tools that wait go on.
    pub fn let_go_on(&self) {
        self.change(|state| state.gate += 1);
    }

    /// The deadlines of all tools that hang pass now. Gives how many were killed.
    pub fn pass_deadlines(&self) -> usize {
        let hanging = self.change(|state| std::mem::take(&mut state.hanging));
        let ours = self.folder.path().display().to_string();
        // The number may be another process's by now.
        let is_ours = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&ours)
        };
        let pids = hanging.into_iter().filter(is_ours).filter_map(|pid| Pid::from_raw(pid.cast_signed()));
        pids.filter(|pid| kill_process(*pid, Signal::KILL).is_ok()).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.pass_deadlines();
        let surprises = self.state().surprises;
        assert!(surprises.is_empty() || std::thread::panicking(), "not scripted: {surprises:#?}");
    }
}
