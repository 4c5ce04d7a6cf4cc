//! Runs the containers of a job: one event loop over init containers in order, then all containers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use htc_core::workload::container::Container;
use htc_core::workload::report::{CANNOT_RUN, ContainerState, Phase};
use htc_core::workload::spec::JobSpec;

use crate::alive::{self, Alive};
use crate::board::Board;
use crate::event::Event;
use crate::job_ad::JobAd;
use crate::launch::Place;
use crate::log::Log;
use crate::reporter::Reporter;
use crate::volumes::Volumes;
use crate::words::say;
use crate::{job, outputs, process, signals};

/// How long killed processes may take to go, and their last output to be written.
const CLEARING: Duration = Duration::from_secs(5);
/// The exit code of a job that was asked to end: that of a process that SIGTERM ended.
const STOPPED: i32 = 128 + 15;
/// How long the last report may take.
const LAST_REPORT: Duration = Duration::from_secs(10);
/// The same after a request to end: HTCondor waits for grace and 10 s, and part of that is spent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Job(#[from] job::Error),
    #[error(transparent)]
    Outputs(#[from] outputs::Error),
    #[error("this worker cannot run the sender: {0}")]
    System(#[from] std::io::Error),
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

fn run_in_current_folder() -> Result<i32, Error> {
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
            match Alive::start(*number, container, volumes, &self.place, &self.sender) {
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

    fn on(&mut self, event: Event) {
        match event {
            Event::Stop => self.stop(),
            Event::ChildEnded => {
                for (pid, exit) in process::reap() {
                    if let Some(alive) = self.alive.iter_mut().find(|a| a.is(pid)) {
                        alive.ended(exit);
                    }
                }
            }
            Event::Answered(number, answer) => {
                let Some(alive) = self.alive.iter_mut().find(|a| a.number == number) else { return };
                alive.answered(answer);
                if self.kill_at.is_some() {
                    alive.terminate();
                }
                if let Some(started_at) = alive.running_since() {
                    self.board.set(number, ContainerState::Running { started_at });
                    self.board.tell();
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
        while let Some(position) = self.alive.iter().position(Alive::is_over) {
            let alive = self.alive.swap_remove(position);
            self.board.set(alive.number, alive.end());
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
        self.board.set(number, alive::cannot_run(error.to_string()));
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
        // Nobody is left who could change it, and we may be killed while we report.
        if let Err(error) = outputs::write_result(&scratch, &report) {
            say(error);
        }
        // What was ended on request is no success, even if it took the request well.
        let code = if code == 0 && !report.is_final() { STOPPED } else { code };
        let limit = if report.is_final() { LAST_REPORT } else { LAST_WORDS };
        if let Some(reporter) = reporter
            && !reporter.finish(limit)
        {
            say("the last report did not get through");
        }
        say(format_args!("ends with exit code {code}"));
        code
    }
}
