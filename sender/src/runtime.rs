//! Runs the containers of a job: one event loop over init containers in order, then all containers.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use htc_core::workload::container::Container;
use htc_core::workload::report::{CANNOT_RUN, ContainerState, Phase};
use htc_core::workload::spec::JobSpec;
use jiff::Timestamp;

use crate::board::Board;
use crate::handshake::{self, Answer, Streams};
use crate::job_ad::JobAd;
use crate::launch::{self, Launch, Place};
use crate::log::Log;
use crate::outputs::{self, PRIVATE};
use crate::process::{self, Exit, Pid, Signal};
use crate::reporter::Reporter;
use crate::volumes::Volumes;
use crate::words::say;
use crate::{apptainer, job, signals};

/// How long killed processes may take to go, and their last output to be written.
const CLEARING: Duration = Duration::from_secs(5);
/// How long the last report may take.
const LAST_REPORT: Duration = Duration::from_secs(10);

/// What the loop waits for.
#[derive(Debug)]
pub enum Event {
    /// HTCondor, or whoever started us, wants an end.
    Stop,
    /// A child has ended.
    ChildEnded,
    /// The handshake with a container's first process is over.
    Answered(usize, Answer),
}

/// `htc-sender run`: the executable of a job; its working folder is the job's scratch folder.
pub fn run() -> ExitCode {
    match run_in_current_folder() {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            say(error);
            ExitCode::from(CANNOT_RUN as u8)
        }
    }
}

fn run_in_current_folder() -> Result<i32, Box<dyn std::error::Error>> {
    let guarded = process::guard();
    let scratch = std::env::current_dir()?;
    let description = job::take(&scratch);
    let names = job::names(description.as_deref().unwrap_or_default());
    outputs::create(&scratch, &names)?;
    let job = job::parse(&description?)?;
    guarded?;
    say(format_args!("htc-sender {} runs {} ({})", env!("CARGO_PKG_VERSION"), job.key, job.name));
    let ad = JobAd::read(std::env::var_os("_CONDOR_JOB_AD").as_deref().map(Path::new));
    let (sender, events) = channel();
    signals::watch(sender.clone())?;
    let reporter = job.events.as_ref().and_then(Reporter::start);
    let board = Board::new(&job, ad, reporter);
    let place = Place { scratch: scratch.clone(), sender: std::env::current_exe()?, index: job.key.index };
    let runtime = Runtime { job: &job, place, board, events, sender, alive: Vec::new(), kill_at: None };
    Ok(runtime.run())
}

struct Runtime<'a> {
    job: &'a JobSpec,
    place: Place,
    board: Board,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// Containers that were started and have not ended.
    alive: Vec<Alive<'a>>,
    /// Set from the request to end on: when those that are left are killed.
    kill_at: Option<Instant>,
}

/// A container between start and end.
struct Alive<'a> {
    number: usize,
    container: &'a Container,
    /// The process outside: apptainer, or the first process itself.
    outer: Pid,
    socket: UnixStream,
    log: Log,
    answer: Option<Answer>,
    started_at: Option<Timestamp>,
    exit: Option<Exit>,
}

impl<'a> Runtime<'a> {
    fn run(mut self) -> i32 {
        match Volumes::lay_out(&self.place.scratch, &self.job.volumes) {
            Ok(volumes) => self.run_all(&volumes),
            Err(error) => {
                for number in 0..self.job.init_containers.len() + self.job.containers.len() {
                    self.cannot_run(number, &error);
                }
            }
        }
        self.finish()
    }

    fn run_all(&mut self, volumes: &Volumes) {
        let job = self.job;
        for (number, container) in job.init_containers.iter().enumerate() {
            self.run_stage(&[(number, container)], volumes);
            if self.board.exit_code() != 0 || self.kill_at.is_some() {
                return;
            }
        }
        self.board.set_phase(Phase::Running);
        let first = job.init_containers.len();
        let all: Vec<_> = job.containers.iter().enumerate().map(|(n, c)| (first + n, c)).collect();
        self.run_stage(&all, volumes);
    }

    /// Starts these containers at once, and returns when all have ended and nothing of them is left.
    fn run_stage(&mut self, containers: &[(usize, &'a Container)], volumes: &Volumes) {
        while let Ok(event) = self.events.try_recv() {
            self.on(event);
        }
        if self.kill_at.is_some() {
            return;
        }
        for (number, container) in containers {
            let started = launch::plan(container, volumes, &self.place)
                .map_err(Box::<dyn std::error::Error>::from)
                .and_then(|launch| Ok(self.start(*number, container, launch)?));
            match started {
                Ok(alive) => self.alive.push(alive),
                Err(error) => self.cannot_run(*number, error),
            }
        }
        self.board.tell();
        let mut logs = Vec::new();
        while !self.alive.is_empty() {
            match self.next_event() {
                Some(event) => self.on(event),
                None => process::kill_all_below(),
            }
            logs.extend(self.bury());
        }
        self.clear(logs);
    }

    /// The next event; none when it is time to kill.
    fn next_event(&mut self) -> Option<Event> {
        let Some(kill_at) = self.kill_at else { return self.events.recv().ok() };
        let left = kill_at.saturating_duration_since(Instant::now());
        let event = self.events.recv_timeout(left).ok();
        if event.is_none() {
            say("the time to end is over: killing what is left");
            // Whoever is born while we kill is killed a second later.
            self.kill_at = Some(Instant::now() + Duration::from_secs(1));
        }
        event
    }

    fn start(&self, number: usize, container: &'a Container, launch: Launch) -> io::Result<Alive<'a>> {
        let Launch { invocation, request } = launch;
        let engine_output =
            OpenOptions::new().append(true).create(true).open(self.engine_output(container))?;
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let log = Log::follow(&outputs::log(&self.place.scratch, &container.name), stdout, stderr)?;
        let stdin = std::fs::File::open("/dev/null")?.into();
        let streams = Streams { stdin, stdout: stdout_writer, stderr: stderr_writer };
        let (socket, theirs) = handshake::socket()?;
        let (ours, events) = (socket.try_clone()?, self.sender.clone());
        let outer = process::start(&invocation, theirs, engine_output)?;
        std::thread::Builder::new().name("handshake".to_owned()).spawn(move || {
            // Nobody listens any more only at the very end.
            let _ = events.send(Event::Answered(number, handshake::attend(&ours, &request, streams)));
        })?;
        Ok(Alive { number, container, outer, socket, log, answer: None, started_at: None, exit: None })
    }

    /// What the engine, or the sender inside, writes before the user's program runs, and around it.
    fn engine_output(&self, container: &Container) -> std::path::PathBuf {
        self.place.scratch.join(PRIVATE).join(format!("engine.{}", container.name))
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Stop => self.stop(),
            Event::ChildEnded => {
                for (pid, exit) in process::reap() {
                    if let Some(alive) = self.alive.iter_mut().find(|a| a.outer == pid) {
                        alive.ended(exit);
                    }
                }
            }
            Event::Answered(number, answer) => {
                let stopping = self.kill_at.is_some();
                if let Some(alive) = self.alive.iter_mut().find(|a| a.number == number) {
                    alive.answered(answer, stopping);
                    if let (Some(started_at), None) = (alive.started_at, alive.exit) {
                        self.board.set(number, ContainerState::Running { started_at });
                        self.board.tell();
                    }
                }
            }
        }
    }

    /// Asks every container to end, once.
    fn stop(&mut self) {
        if self.kill_at.is_some() {
            return;
        }
        let grace = self.job.grace_seconds;
        say(format_args!("asked to end: containers have {grace} s"));
        self.kill_at = Some(Instant::now() + Duration::from_secs(grace.into()));
        self.board.set_phase(Phase::Stopping);
        self.board.tell();
        for alive in &self.alive {
            alive.terminate();
        }
    }

    /// Takes out the containers that have ended, and returns their logs.
    fn bury(&mut self) -> Vec<Log> {
        let mut logs = Vec::new();
        let over = |a: &Alive| a.exit.is_some() && a.answer.is_some();
        while let Some(position) = self.alive.iter().position(over) {
            let alive = self.alive.swap_remove(position);
            let output = std::fs::read(self.engine_output(alive.container)).unwrap_or_default();
            let output = String::from_utf8_lossy(&output);
            output.lines().for_each(|line| say(format_args!("[{}] {line}", alive.container.name)));
            self.board.set(alive.number, alive.end(&output));
            // The last one is told together with what follows from it.
            if !self.alive.is_empty() {
                self.board.tell();
            }
            logs.push(alive.log);
        }
        logs
    }

    fn cannot_run(&mut self, number: usize, error: impl ToString) {
        say(error.to_string());
        self.board.set(number, terminated(CANNOT_RUN, None, "ContainerCannotRun", error.to_string(), None));
    }

    /// Nothing of a stage survives it: not a process, not an unwritten line.
    fn clear(&mut self, logs: Vec<Log>) {
        if !process::clear_below(CLEARING) {
            say("some processes cannot be killed");
        }
        let deadline = Instant::now() + CLEARING;
        for log in logs {
            if !log.finish(deadline.saturating_duration_since(Instant::now())) {
                say("somebody outside of the job holds the output of a container");
            }
        }
    }

    fn finish(self) -> i32 {
        let code = self.board.exit_code();
        let scratch = self.place.scratch;
        let (report, reporter) = self.board.close();
        if let Some(reporter) = reporter
            && !reporter.finish(LAST_REPORT)
        {
            say("the last report did not get through");
        }
        if let Err(error) = outputs::write_result(&scratch, &report) {
            say(error);
        }
        say(format_args!("ends with exit code {code}"));
        code
    }
}

impl Alive<'_> {
    fn answered(&mut self, answer: Answer, stopping: bool) {
        if let Answer::Started(_) = answer {
            self.started_at = Some(Timestamp::now());
        }
        self.answer = Some(answer);
        if stopping {
            self.terminate();
        }
    }

    /// The signal goes to the container's own first process; before there is one, to the engine.
    fn terminate(&self) {
        match self.answer {
            _ if self.exit.is_some() => {}
            Some(Answer::Started(pid)) => process::signal(pid, Signal::TERM),
            _ => process::signal_group(self.outer, Signal::TERM),
        }
    }

    /// The outer process has ended: with it goes its group, and a handshake that still waits.
    fn ended(&mut self, exit: Exit) {
        self.exit = Some(exit);
        process::signal_group(self.outer, Signal::KILL);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn end(&self, engine_output: &str) -> ContainerState {
        let exit = self.exit.unwrap_or(Exit { code: CANNOT_RUN, signal: None });
        match &self.answer {
            Some(Answer::Started(_)) => {
                let reason = if exit.code == 0 { "Completed" } else { "Error" };
                terminated(exit.code, exit.signal, reason, String::new(), self.started_at)
            }
            Some(Answer::Failed(failure)) => {
                let message = failure.message.clone();
                terminated(failure.exit_code, None, "ContainerCannotRun", message, None)
            }
            Some(Answer::Silent) | None => {
                let message = apptainer::complaint(engine_output);
                let about_image = apptainer::is_about_image(&message);
                let reason = if about_image { "ErrImagePull" } else { "ContainerCannotRun" };
                terminated(CANNOT_RUN, None, reason, message, None)
            }
        }
    }
}

fn terminated(
    exit_code: i32,
    signal: Option<i32>,
    reason: &str,
    message: String,
    started_at: Option<Timestamp>,
) -> ContainerState {
    let finished_at = Timestamp::now();
    ContainerState::Terminated {
        exit_code,
        signal,
        reason: reason.to_owned(),
        message,
        started_at,
        finished_at,
    }
}
