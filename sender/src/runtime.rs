//! Runs the containers of a job: one event loop over init containers in order, then all containers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use htc_core::result::{self, Signer};
use htc_core::workload::container::{Container, Image};
use htc_core::workload::report::{CANNOT_RUN, ContainerState, Cut, Phase};
use htc_core::workload::spec::JobSpec;

use crate::alive::{self, Alive, Ended};
use crate::board::{Board, STOPPED};
use crate::chirp::Chirp;
use crate::event::Event;
use crate::gate::Gate;
use crate::image::Images;
use crate::job_ad::JobAd;
use crate::launch::Place;
use crate::log::{Closed, Log};
use crate::outputs::Room;
use crate::poll::{Logs, Poller};
use crate::process::CLEARING;
use crate::reporter::Reporter;
use crate::volumes::{Volumes, limits};
use crate::words::say;
use crate::{job, keeper, outputs, process, signals, tidy};

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

/// Runs the job of the current folder, its scratch folder, to its end.
/// Where it is kept, it ends with its keeper.
pub fn run(kept: bool) -> ExitCode {
    match run_in_current_folder(kept) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            say(error);
            ExitCode::from(CANNOT_RUN as u8)
        }
    }
}

fn run_in_current_folder(kept: bool) -> Result<i32, Error> {
    let guarded = process::guard();
    let scratch = std::env::current_dir()?;
    let description = job::take(&scratch);
    let names = job::names(description.as_deref().unwrap_or_default());
    let room = outputs::create(&scratch, &names)?;
    let job = job::parse(&description?)?;
    guarded?;
    say(format_args!("htc-sender {} runs {} ({})", env!("CARGO_PKG_VERSION"), job.key, job.name));
    let told_by_condor = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let ad = JobAd::read(told_by_condor("_CONDOR_JOB_AD").as_deref());
    let chirp_config = told_by_condor("_CONDOR_CHIRP_CONFIG");
    let (sender, events) = channel();
    signals::watch(sender.clone())?;
    if kept {
        keeper::watch(sender.clone())?;
    }
    let reporter = job
        .events
        .as_ref()
        .and_then(|events| Reporter::start(events, Chirp::find(chirp_config.as_deref(), events)));
    let closed = Closed::default();
    let logs = Logs::new(&scratch, &job, closed.clone());
    let poller = job.events.as_ref().and_then(|events| Poller::start(events, &job.key, ad.start, logs));
    let board = Board::new(&job, ad, reporter);
    let place = Place {
        scratch: scratch.clone(),
        sender: std::env::current_exe()?,
        index: job.key.index,
        hostname: job.hostname.clone(),
        closed,
    };
    let images = Images::new(&job, &scratch, sender.clone());
    let alive = Vec::new();
    let runtime = Runtime {
        job: &job,
        place,
        images,
        board,
        poller,
        events,
        sender,
        alive,
        deadline: None,
        kill_at: None,
        room,
    };
    Ok(runtime.run())
}

struct Runtime<'a> {
    job: &'a JobSpec,
    place: Place,
    images: Images,
    board: Board,
    poller: Option<Poller>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    /// Containers that were started and have not ended.
    alive: Vec<Alive<'a>>,
    /// When the containers that are left are asked to end.
    deadline: Option<Instant>,
    /// Set from the request to end on: when those that are left are killed.
    kill_at: Option<Instant>,
    /// Room for the last report.
    room: Room,
}

impl<'a> Runtime<'a> {
    fn run(mut self) -> i32 {
        match Volumes::lay_out(&self.place.scratch, &self.job.volumes) {
            Ok(volumes) => self.run_all(&volumes),
            Err(error) => {
                for number in 0..self.job.init_containers.len() + self.job.containers.len() {
                    self.cannot_run(number, &error);
                    self.board.blame(number, error.is_workers());
                }
            }
        }
        self.finish()
    }

    fn run_all(&mut self, volumes: &Volumes) {
        let job = self.job;
        self.deadline = job.deadline_seconds.map(|s| Instant::now() + Duration::from_secs(s.into()));
        if let Err(error) = limits::watch(volumes.limited(), self.sender.clone()) {
            say(format_args!("nobody looks how much is in the volumes: {error}"));
        }
        for (number, container) in job.init_containers.iter().enumerate() {
            self.run_stage(&[(number, container)], volumes);
            if self.board.exit_code() != 0 || self.kill_at.is_some() {
                return;
            }
        }
        self.board.set_phase(Phase::Running);
        if self.job.hostname.is_some() && job.containers.iter().any(|c| c.image == Image::Host) {
            say("containers without an image see the hostname of the worker");
        }
        let first = job.init_containers.len();
        let all: Vec<_> = job.containers.iter().enumerate().map(|(n, c)| (first + n, c)).collect();
        self.run_stage(&all, volumes);
    }

    /// Starts these containers at once, and returns when all have ended and nothing of them is left.
    fn run_stage(&mut self, containers: &[(usize, &'a Container)], volumes: &Volumes) {
        while let Ok(event) = self.events.try_recv() {
            self.on(event);
        }
        self.pull(containers);
        if self.kill_at.is_some() {
            return;
        }
        let gate = needs_gate(containers).then(Gate::default);
        let all_are_started = gate.as_ref().map(Gate::pass);
        for (number, container) in containers {
            let pass = gate.as_ref().map(Gate::pass);
            let (images, place) = (&self.images, &self.place);
            match Alive::start(*number, container, images, volumes, place, &self.sender, pass) {
                Ok(alive) => self.alive.push(alive),
                Err(error) => {
                    say(format_args!("{}: {error}", container.name));
                    self.board.set(*number, error.end());
                    self.board.blame(*number, error.is_workers());
                }
            }
        }
        drop(all_are_started);
        self.board.tell();
        let mut logs = Vec::new();
        while !self.alive.is_empty() {
            self.wait();
            logs.extend(self.bury());
        }
        self.clear(logs);
    }

    /// Makes the images of these containers local. Nothing of the user's runs meanwhile.
    fn pull(&mut self, containers: &[(usize, &'a Container)]) {
        if self.kill_at.is_some() {
            return;
        }
        self.images.want(containers.iter().map(|(_, container)| *container));
        let mut told = Vec::new();
        while let Some(wakes_at) = self.images.wakes_at() {
            let states: Vec<_> = containers.iter().map(|(_, c)| self.images.waiting(c)).collect();
            if states != told {
                for ((number, _), state) in containers.iter().zip(&states) {
                    self.board.set(*number, state.clone());
                }
                self.board.tell();
                told = states;
            }
            self.wait_for_images(wakes_at);
            if self.kill_at.is_some() {
                self.images.give_up();
                self.clear(Vec::new());
            }
        }
    }

    /// Does what the next event says, or what the images or the job's deadline want by then.
    fn wait_for_images(&mut self, wakes_at: Instant) {
        let until = self.deadline.map_or(wakes_at, |deadline| deadline.min(wakes_at));
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) => self.on(event),
            Err(_) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => self.overdue(),
            Err(_) => self.images.wake(),
        }
    }

    /// Does what the next event says, or what it is time for.
    fn wait(&mut self) {
        let event = match self.kill_at.or(self.deadline) {
            None => self.events.recv().ok(),
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
        };
        match (event, self.kill_at) {
            (Some(event), _) => self.on(event),
            (None, None) => self.overdue(),
            (None, Some(_)) => {
                say("the time to end is over: killing what is left");
                process::kill_all_below();
                // Whoever is born while we kill is killed a second later.
                self.kill_at = Some(Instant::now() + Duration::from_secs(1));
            }
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Stop => self.stop(),
            Event::Orphaned => {
                say("the first process of the job was killed: so is the rest");
                self.board.set_phase(Phase::Stopping);
                self.kill_at = Some(Instant::now());
            }
            Event::Cut(cut) => self.cut(cut),
            Event::ChildEnded => {
                for (pid, exit) in process::reap() {
                    match self.alive.iter_mut().find(|a| a.is(pid)) {
                        Some(alive) => alive.ended(exit),
                        None => self.images.ended(pid, exit),
                    }
                }
            }
            Event::ImageLocked(number, lock) => self.images.locked(number, lock),
            Event::ImageKept(number, kept) => self.images.kept(number, kept),
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

    /// HTCondor wants an end, whatever was going on.
    fn stop(&mut self) {
        self.board.set_phase(Phase::Stopping);
        self.end_all("asked to end");
    }

    /// The job has run for as long as it may.
    fn overdue(&mut self) {
        self.cut(Cut::Deadline { seconds: self.job.deadline_seconds.unwrap_or_default() });
    }

    /// The job has reached a limit, which is an end of its own.
    fn cut(&mut self, cut: Cut) {
        if self.kill_at.is_none() {
            self.board.cut(cut.clone());
            self.end_all(&cut.to_string());
        }
    }

    /// Asks every container to end, once.
    fn end_all(&mut self, why: &str) {
        if self.kill_at.is_some() {
            return;
        }
        let grace = self.job.grace_seconds;
        say(format_args!("{why}: containers have {grace} s"));
        self.kill_at = Some(Instant::now() + Duration::from_secs(grace.into()));
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
            let Ended { state, is_workers } = alive.end(self.board.is_cut());
            self.board.set(alive.number, state);
            self.board.blame(alive.number, is_workers);
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

    fn finish(mut self) -> i32 {
        // Nobody asks any more: the rest comes home.
        drop(self.poller.take());
        self.board.tidied(&tidy::outputs_of(self.job, &self.place.scratch));
        let code = self.board.exit_code();
        let scratch = self.place.scratch;
        let (report, reporter) = self.board.close();
        let signer =
            self.job.events.as_ref().map(|events| Signer { key_id: &events.key_id, key: &events.key });
        // Nobody is left who could change it, and we may be killed while we report.
        if let Err(error) = outputs::write_result(&scratch, self.room, &result::write(&report, signer)) {
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

/// Whether a container of the stage could change what another one mounts.
fn needs_gate(stage: &[(usize, &Container)]) -> bool {
    stage.len() > 1 && stage.iter().flat_map(|(_, c)| &c.mounts).any(|mount| mount.sub_path.is_some())
}
