//! A container from its start to its end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use htc_core::workload::container::Container;
use htc_core::workload::report::{CANNOT_RUN, ContainerState, Cut};
use jiff::Timestamp;

use crate::event::Event;
use crate::gate::Pass;
use crate::handshake::{self, Answer, Streams};
use crate::image::{self, Images};
use crate::last_words;
use crate::launch::{self, Launch, Place};
use crate::log::Log;
use crate::outputs::{self, PRIVATE};
use crate::process::{self, Exit, Pid, Signal};
use crate::volumes::Volumes;
use crate::words::say;
use crate::{apptainer, blame};

/// How long the end of a log is waited for, where it is wanted at once.
const SETTLING: Duration = Duration::from_millis(500);
/// The exit code of a container that was ended before it started.
const KILLED: i32 = 128 + 9;

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no image to run it in.
    #[error("{}", .0.message)]
    Image(image::Failure),
    /// It cannot be.
    #[error(transparent)]
    Plan(#[from] launch::Error),
    /// The worker gave no pipe, process, or thread.
    #[error("this worker cannot start a container: {0}")]
    Start(#[from] io::Error),
}

impl Error {
    /// Whether another worker may do better.
    pub fn is_workers(&self) -> bool {
        match self {
            Error::Image(failure) => failure.is_workers,
            Error::Plan(error) => error.is_workers(),
            Error::Start(_) => true,
        }
    }

    /// The end of the container that was not started.
    pub fn end(&self) -> ContainerState {
        let reason = match self {
            Error::Image(failure) => failure.reason,
            Error::Plan(_) | Error::Start(_) => "ContainerCannotRun",
        };
        terminated(CANNOT_RUN, None, reason, self.to_string(), None)
    }
}

/// How a container ended.
pub struct Ended {
    /// The state that it is in for good.
    pub state: ContainerState,
    /// Whether it never started, and another worker may do better.
    pub is_workers: bool,
}

/// A container that was started.
pub struct Alive<'a> {
    /// Its number on the board.
    pub number: usize,
    /// Its log.
    pub log: Log,
    container: &'a Container,
    /// The process outside: apptainer, or the first process itself.
    outer: Pid,
    /// What the engine, or the sender inside, writes before the user's program runs, and around it.
    engine_output: PathBuf,
    /// Where its last words may be.
    message: PathBuf,
    socket: UnixStream,
    answer: Option<Answer>,
    started_at: Option<Timestamp>,
    exit: Option<Exit>,
}

impl<'a> Alive<'a> {
    /// Starts it. An event will tell what came of the handshake.
    pub fn start(
        number: usize,
        container: &'a Container,
        images: &Images,
        volumes: &Volumes,
        place: &Place,
        events: &Sender<Event>,
        pass: Option<Pass>,
    ) -> Result<Alive<'a>, Error> {
        let image = images.of(container).map_err(Error::Image)?;
        let Launch { invocation, request } = launch::plan(container, image, volumes, place)?;
        let engine_output = place.scratch.join(PRIVATE).join(format!("engine.{}", container.name));
        let output = OpenOptions::new().append(true).create(true).open(&engine_output)?;
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let private = place.scratch.join(PRIVATE);
        let (path, closes) =
            (outputs::log(&place.scratch, &container.name), place.closed.when_dropped(&container.name));
        let log = Log::follow(&path, &private, stdout, stderr, closes)?;
        let stdin = File::open("/dev/null")?.into();
        let streams = Streams { stdin, stdout: stdout_writer, stderr: stderr_writer };
        let (socket, theirs) = handshake::socket()?;
        let (ours, events) = (socket.try_clone()?, events.clone());
        let outer = process::start(&invocation, theirs, output)?;
        std::thread::Builder::new().name("handshake".to_owned()).spawn(move || {
            // Nobody listens any more only at the very end.
            let _ = events.send(Event::Answered(number, handshake::attend(&ours, &request, streams, pass)));
        })?;
        Ok(Alive {
            number,
            log,
            container,
            outer,
            engine_output,
            message: last_words::file(&place.scratch, &container.name),
            socket,
            answer: None,
            started_at: None,
            exit: None,
        })
    }

    /// Whether this is its process, on the outside.
    pub fn is(&self, pid: Pid) -> bool {
        self.outer == pid
    }

    /// Since when the user's program runs.
    pub fn running_since(&self) -> Option<Timestamp> {
        self.started_at.filter(|_| self.exit.is_none())
    }

    /// Whether all is known of its end.
    pub fn is_over(&self) -> bool {
        self.exit.is_some() && self.answer.is_some()
    }

    /// The handshake is over.
    pub fn answered(&mut self, answer: Answer) {
        if let Answer::Started(_) = answer {
            self.started_at = Some(Timestamp::now());
        }
        self.answer = Some(answer);
    }

    /// The signal goes to the container's own first process; before there is one, to the engine.
    pub fn terminate(&self) {
        match self.answer {
            _ if self.exit.is_some() => {}
            Some(Answer::Started(pid)) => process::signal(pid, Signal::TERM),
            _ => process::signal_group(self.outer, Signal::TERM),
        }
    }

    /// The outer process has ended: with it goes its group, and a handshake that still waits.
    pub fn ended(&mut self, exit: Exit) {
        self.exit = Some(exit);
        process::signal_group(self.outer, Signal::KILL);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// How it ended; `cut` is the limit of the job that it was ended for, if it was.
    pub fn end(&self, cut: Option<&Cut>) -> Ended {
        let engine_said = apptainer::complaint(&self.engine_said());
        let is_silent = matches!(self.answer, Some(Answer::Silent) | None);
        let is_workers = is_silent && blame::of_start(&engine_said);
        Ended { state: self.state(cut, engine_said), is_workers }
    }

    fn state(&self, cut: Option<&Cut>, engine_said: String) -> ContainerState {
        let exit = self.exit.unwrap_or(Exit { code: CANNOT_RUN, signal: None });
        match &self.answer {
            Some(Answer::Started(_)) => {
                let own = if exit.code == 0 { "Completed" } else { "Error" };
                let reason = cut.map_or(own, Cut::reason);
                terminated(exit.code, exit.signal, reason, self.last_words(exit.code), self.started_at)
            }
            Some(Answer::Silent) | None if let Some(cut) = cut => {
                terminated(KILLED, None, cut.reason(), "ended before it started".to_owned(), None)
            }
            Some(Answer::Failed(failure)) => {
                terminated(failure.exit_code, None, "ContainerCannotRun", failure.message.clone(), None)
            }
            Some(Answer::Silent) | None => match engine_said {
                why if why.is_empty() => {
                    cannot_run(format!("ended with code {} before it started", exit.code))
                }
                why if apptainer::is_about_image(&why) => {
                    terminated(CANNOT_RUN, None, "ErrImagePull", why, None)
                }
                why => cannot_run(why),
            },
        }
    }

    /// Its own words, or the end of its log.
    fn last_words(&self, code: i32) -> String {
        let Some(wanted) = &self.container.termination_message else { return String::new() };
        let said = last_words::read(&self.message);
        if !said.is_empty() || code == 0 || !wanted.fallback_to_logs {
            return said;
        }
        // The last lines may be on their way still; a child that was left behind may hold them.
        self.log.finish(SETTLING);
        self.log.tail()
    }

    /// What the engine wrote, which also goes to the sender's own words.
    fn engine_said(&self) -> String {
        let output = fs::read(&self.engine_output).unwrap_or_default();
        let output = String::from_utf8_lossy(&output).into_owned();
        output.lines().for_each(|line| say(format_args!("[{}] {line}", self.container.name)));
        output
    }
}

/// The end of a container that never started.
pub fn cannot_run(why: String) -> ContainerState {
    terminated(CANNOT_RUN, None, "ContainerCannotRun", why, None)
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
