//! The schedd's state: one JSON file that is read and replaced under a lock, and a journal that only
//! grows, beside it, so that a long history costs nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::constraint::Expression;
use super::faults::{Fault, Planned};
use super::job;
use super::{Failure, STATE_VARIABLE};

/// A job ad.
pub type Ad = Map<String, Value>;

/// Everything that the schedd, the pool and the test's plan consist of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The schedd's name.
    pub schedd: Option<String>,
    /// When the queue was made.
    pub birthdate: i64,
    /// The last cluster number given.
    pub cluster: u32,
    /// How often something was committed.
    pub commits: u64,
    /// The jobs in the queue.
    pub queue: Vec<Ad>,
    /// The jobs that have left it, oldest first.
    pub history: Vec<Ad>,
    /// The slots that the collector knows.
    pub slots: Vec<Ad>,
    /// The faults to come.
    pub plan: Vec<Planned>,
    /// All calls of tools.
    pub calls: Vec<CallRecord>,
    /// What happens to jobs in this change.
    #[serde(skip)]
    news: Vec<Entry>,
    /// So many bytes of the journal are true.
    told: u64,
    /// Calls that no script exists for.
    pub surprises: Vec<String>,
    /// Processes of tools that hang.
    pub hanging: Vec<u32>,
    /// How often the test has let waiting tools go on.
    pub gate: u64,
    /// The schedd's clock is so many seconds ahead.
    pub ahead: i64,
    /// The machines of the pool, the first that may is the one on which a job starts; a nameless one without.
    pub machines: Vec<Machine>,
    /// With an exit code, every `condor_q` first moves each job one step towards that end.
    pub auto_run: Option<i32>,
    /// As whom the schedd takes us, if not as alice of this pool.
    pub mapping: Option<String>,
    /// The folder with the jobs' files.
    #[serde(skip)]
    pub spool: PathBuf,
}

/// A machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Why it can start nothing of a user's, if so.
    pub fault: Option<String>,
}

/// A call of a tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRecord {
    /// `condor_q`, ….
    pub tool: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Its process.
    pub pid: u32,
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `cluster.proc`.
    pub job: String,
    /// `HTCOperatorKey`.
    pub key: String,
    /// What happened.
    pub event: Event,
}

/// What happens to jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It is in the queue.
    Committed,
    /// Its input files have arrived.
    Staged,
    /// The pool started it.
    Started,
    /// It ended with this exit code.
    Ended(i32),
    /// It was marked as removed.
    Removed,
    /// It has left the queue for the history.
    Left,
    /// It is gone without a trace.
    Vanished,
}

impl State {
    /// The schedd's clock, in seconds since 1970.
    pub fn now(&self) -> i64 {
        i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX) + self.ahead
    }

    /// Notes a call of a tool.
    pub fn record_call(&mut self, tool: &str, arguments: &[String]) {
        let at = u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX);
        let (tool, arguments) = (tool.to_owned(), arguments.to_vec());
        self.calls.push(CallRecord { tool, arguments, at, pid: std::process::id() });
    }

    /// Whether a `condor_submit` is at work.
    pub fn submits(&self) -> bool {
        let lives = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
        };
        self.calls.iter().any(|call| call.tool == "condor_submit" && lives(call.pid))
    }

    /// Notes what happened to a job.
    pub fn record(&mut self, ad: &Ad, event: Event) {
        self.news.push(Entry { job: job::id(ad), key: job::text(ad, job::KEY).to_owned(), event });
    }

    /// Takes what is planned for this call of a tool; what only changes the state happens here.
    pub fn next_fault(&mut self, tool: &str) -> Option<Fault> {
        let (changes, fault) = Planned::take(&mut self.plan, tool);
        for change in changes {
            match change {
                Fault::VanishJob(key) => self.vanish(&key),
                Fault::ForgetHistory => self.history.clear(),
                Fault::ReuseIds => self.cluster = 0,
                _ => {}
            }
        }
        fault
    }

    /// The places in the queue of the jobs that meet a constraint.
    pub fn matching(&self, constraint: &str) -> Result<Vec<usize>, Failure> {
        let parsed = Expression::parse(constraint).map_err(|_| {
            Failure::from(format!("-- Parse error in constraint expression \"{constraint}\""))
        })?;
        let holds = |ad: &Ad| parsed.holds(ad, self.now());
        Ok(self.queue.iter().enumerate().filter(|(_, ad)| holds(ad)).map(|(n, _)| n).collect())
    }

    /// Lets those leave the queue that `who` names and whose `leave_in_queue` does not hold them.
    pub fn let_leave(&mut self, who: impl Fn(&Ad) -> bool) {
        let (leaving, staying) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition::<Vec<Ad>, _>(|ad| job::is_over(ad) && who(ad) && !self.is_held_back(ad));
        self.queue = staying;
        for ad in leaving {
            self.record(&ad, Event::Left);
            self.history.push(ad);
        }
    }

    /// Whether its `leave_in_queue` is true.
    pub fn is_held_back(&self, ad: &Ad) -> bool {
        match ad.get("LeaveJobInQueue").and_then(Value::as_str) {
            Some(text) => Expression::of_ad(text).is_ok_and(|leave| leave.holds(ad, self.now())),
            None => ad.get("LeaveJobInQueue").and_then(Value::as_bool).unwrap_or(false),
        }
    }

    /// Makes a job go away without a trace, as a wiped queue does.
    pub fn vanish(&mut self, key: &str) {
        let (gone, staying) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition::<Vec<Ad>, _>(|ad| job::text(ad, job::KEY) == key);
        self.queue = staying;
        gone.iter().for_each(|ad| self.record(ad, Event::Vanished));
    }
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The state file.
#[derive(Clone, Debug)]
pub struct Schedd {
    file: PathBuf,
}

impl Schedd {
    /// The schedd whose state is in this file; one without a file is empty.
    pub fn new(file: &Path) -> Schedd {
        Schedd { file: file.to_owned() }
    }

    /// The schedd that the environment names.
    pub fn of_environment() -> Result<Schedd, Failure> {
        let file = std::env::var_os(STATE_VARIABLE);
        let file = file.ok_or_else(|| Failure::from(format!("scripted: {STATE_VARIABLE} is not set")))?;
        Ok(Schedd { file: file.into() })
    }

    /// Reads the state.
    pub fn read(&self) -> io::Result<State> {
        let _lock = self.lock()?;
        self.load()
    }

    /// Reads and replaces the state, undisturbed. Whoever is killed meanwhile changes nothing.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let _lock = self.lock()?;
        let mut state = self.load()?;
        let given = change(&mut state);
        state.told = self.tell(&state.news, state.told)?;
        let new = self.file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&state)?)?;
        std::fs::rename(&new, &self.file)?;
        Ok(given)
    }

    /// What happened to jobs. Unlike queue and history nothing makes it forget.
    pub fn journal(&self) -> io::Result<Vec<Entry>> {
        let told = self.read()?.told;
        let bytes = if told == 0 { Vec::new() } else { std::fs::read(self.journal_file())? };
        let told = usize::try_from(told).map_err(io::Error::other)?;
        let entries = serde_json::Deserializer::from_slice(&bytes[..told]).into_iter();
        Ok(entries.collect::<Result<_, _>>()?)
    }

    /// Adds to the journal behind what is true of it; gives how much is true then.
    fn tell(&self, news: &[Entry], told: u64) -> io::Result<u64> {
        if news.is_empty() {
            return Ok(told);
        }
        let mut lines = Vec::new();
        for entry in news {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        let path = self.journal_file();
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        file.set_len(told)?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(&lines)?;
        Ok(told + lines.len() as u64)
    }

    fn journal_file(&self) -> PathBuf {
        self.file.with_extension("journal")
    }

    /// The lock lives as long as the file that this gives is open.
    fn lock(&self) -> io::Result<File> {
        let path = self.file.with_extension("lock");
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    }

    fn load(&self) -> io::Result<State> {
        let mut state: State = match std::fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        state.spool = self.file.with_file_name("spool");
        Ok(state)
    }
}
