//! How a container's first process gets its orders, over the socket that is its stdin.
//!
//! ```text
//! init → sender   one byte; with it the kernel tells whose it is, in the sender's own pid namespace
//! sender → init   length, and the descriptors of stdin, stdout, stderr and a pipe
//! sender → init   the request as JSON: argv, environment, working folder
//! init → sender   on the pipe: the failure; or nothing, for the pipe closes itself on execve
//! ```
//!
//! So nothing of the user's passes through the options or the environment of a container engine,
//! whatever it writes itself stays out of the user's log, and it cannot spoil the user's streams.

use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::gate::Pass;

/// What the first process shall become.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Set on top of what the image sets; a later entry of the same name wins.
    pub env: Vec<(String, String)>,
    /// Where to start; without it, where the engine put us.
    pub working_dir: Option<String>,
    /// Symbolic links to be made before: what each points to, and where it is.
    pub links: Vec<(String, String)>,
}

/// Why it did not become that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code, as shells give it.
    pub exit_code: i32,
    /// A sentence.
    pub message: String,
}

/// What the sender learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The first process never came to be: the engine failed.
    Silent,
    /// It runs the user's program, under this pid.
    Started(Pid),
    /// It could not.
    Failed(Failure),
}

/// The streams of the user's program.
pub struct Streams {
    /// What it reads.
    pub stdin: OwnedFd,
    /// What it writes.
    pub stdout: PipeWriter,
    /// What it writes, too.
    pub stderr: PipeWriter,
}

/// A socket for one container: the sender's end, and the end that becomes its stdin.
pub fn socket() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    rustix::net::sockopt::set_socket_passcred(&ours, true)?;
    Ok((ours, theirs))
}

/// The sender's part; blocks until the first process has become the user's program, or never will.
/// One that is there has all its mounts, and waits at the gate where there is one.
pub fn attend(socket: &UnixStream, request: &Request, streams: Streams, pass: Option<Pass>) -> Answer {
    let Ok(Some(pid)) = hear(socket) else { return Answer::Silent };
    if let Some(pass) = pass {
        pass.wait();
    }
    // If it dies on the way its exit tells more than our failure to write to it.
    let outcome = order(socket, request, streams).and_then(|mut pipe| {
        let mut failure = Vec::new();
        pipe.read_to_end(&mut failure)?;
        Ok(serde_json::from_slice(&failure).ok())
    });
    match outcome {
        Ok(Some(failure)) => Answer::Failed(failure),
        Ok(None) | Err(_) => Answer::Started(pid),
    }
}

fn hear(socket: &UnixStream) -> io::Result<Option<Pid>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let credentials = |message| match message {
        RecvAncillaryMessage::ScmCredentials(who) => Some(who.pid),
        _ => None,
    };
    // At the end of the stream there is a control message too, of nobody.
    Ok(control.drain().find_map(credentials).filter(|_| byte == HELLO))
}

const HELLO: [u8; 1] = [1];

fn order(mut socket: &UnixStream, request: &Request, streams: Streams) -> io::Result<PipeReader> {
    let body = serde_json::to_vec(request)?;
    let (reader, writer) = io::pipe()?;
    let descriptors = [streams.stdin.as_fd(), streams.stdout.as_fd(), streams.stderr.as_fd(), writer.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let length = (body.len() as u64).to_be_bytes();
    rustix::net::sendmsg(socket, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    socket.write_all(&body)?;
    Ok(reader)
}

/// The first process's part: says that it is there and takes its orders.
///
/// Returns the request, the three streams and the pipe.
pub fn report_for_duty(socket: impl AsFd) -> io::Result<(Request, [OwnedFd; 4])> {
    let mut socket = UnixStream::from(socket.as_fd().try_clone_to_owned()?);
    socket.write_all(&HELLO)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 8];
    let got = rustix::net::recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut length)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    )?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.collect::<Vec<_>>()),
        _ => None,
    };
    let descriptors = control.drain().filter_map(rights).flatten().collect::<Vec<_>>();
    let descriptors = <[OwnedFd; 4]>::try_from(descriptors);
    let (8, Ok(descriptors)) = (got.bytes, descriptors) else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sender has gone"));
    };
    let mut body = Vec::new();
    let length = u64::from_be_bytes(length);
    if (&mut socket).take(length).read_to_end(&mut body)? as u64 != length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sender has gone"));
    }
    Ok((serde_json::from_slice(&body)?, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Streams {
        let (_, stdout) = io::pipe().unwrap();
        let (_, stderr) = io::pipe().unwrap();
        Streams { stdin: std::fs::File::open("/dev/null").unwrap().into(), stdout, stderr }
    }

    fn request() -> Request {
        let value = "x".repeat(3 << 20) + "\n'\"`$x\u{1f980}";
        Request {
            argv: vec!["a b".to_owned()],
            env: vec![("E".to_owned(), value)],
            working_dir: None,
            links: vec![],
        }
    }

    /// Runs both sides in this process; `init` is what the other side does once it has its orders.
    fn talk(init: impl FnOnce(Request, [OwnedFd; 4]) + Send) -> Answer {
        let (ours, theirs) = socket().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (request, descriptors) = report_for_duty(&theirs).unwrap();
                init(request, descriptors);
            });
            attend(&ours, &request(), streams(), None)
        })
    }

    #[test]
    fn a_request_of_any_size_arrives_and_the_kernel_tells_who_took_it() {
        let answer = talk(|got, _| assert!(got == request()));
        assert_eq!(answer, Answer::Started(rustix::process::getpid()));
    }

    #[test]
    fn a_failure_comes_back_in_words() {
        let failure = Failure { exit_code: 127, message: "not there".to_owned() };
        let sent = failure.clone();
        let answer = talk(move |_, [.., pipe]| {
            std::fs::File::from(pipe).write_all(&serde_json::to_vec(&sent).unwrap()).unwrap();
        });
        assert_eq!(answer, Answer::Failed(failure));
    }

    #[test]
    fn an_engine_that_never_gets_as_far_is_silence() {
        let (ours, theirs) = socket().unwrap();
        drop(theirs);
        assert_eq!(attend(&ours, &request(), streams(), None), Answer::Silent);
    }
}
