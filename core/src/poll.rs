//! The long poll: through it the operator asks a running job for things, and the job answers.
//!
//! The sender posts a [`Poll`] to [`POLL_PATH`]; the operator holds it until it wants something that
//! the sender does not know of, and answers with [`Asks`]: all that is wanted now. Each is answered by
//! a [`Reply`] of its own to [`ANSWER_PATH`], as soon as it can be; an ask may wait long for that, as
//! for the next bytes of a log. What is wanted no more is missing from the next [`Asks`].
//!
//! Every body, in both directions, is signed as reports are (see [`crate::events`]) and begins with its
//! own word, so that none passes for another or for a report. A poll counts only when it is newer than
//! all before it (`start`, then `seq`); asks carry the number of their poll, and the id of an ask is
//! given once and cannot be guessed. So whoever replays a body gets nothing and changes nothing.
//!
//! An older sender answers what it does not know with [`Answer::Unsupported`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::workload::names::JobKey;
use crate::workload::spec::{from_base64, to_base64};

/// Where polls go, below the URL of the route.
pub const POLL_PATH: &str = "/sender/poll";
/// Where replies go.
pub const ANSWER_PATH: &str = "/sender/answer";
/// Bytes of a log in one reply, at most.
pub const PIECE: usize = 128 << 10;
/// Asks of one job at a time, at most; others wait until one of them is answered.
pub const ASKS: usize = 32;
/// Without its bytes a body has at most this many bytes.
pub const WORDS_MAX: usize = 32 << 10;

/// The body of one kind: `<word>\n<json>\n<bytes>`.
trait Body: Serialize + for<'a> Deserialize<'a> {
    const WORD: &[u8];

    fn body(&self, bytes: &[u8]) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("our words have only strings as keys");
        [Self::WORD, b"\n", &json, b"\n", bytes].concat()
    }

    fn of(body: &[u8]) -> Option<(Self, &[u8])> {
        let rest = body.strip_prefix(Self::WORD)?.strip_prefix(b"\n")?;
        let end = rest.iter().position(|b| *b == b'\n')?;
        let words = rest.get(..end).filter(|words| words.len() <= WORDS_MAX)?;
        Some((serde_json::from_slice(words).ok()?, &rest[end + 1..]))
    }
}

/// A sender that asks what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// Who asks.
    pub key: JobKey,
    /// Which start of the job.
    pub start: u32,
    /// Grows with every poll of a start.
    pub seq: u64,
    /// The asks that it knows and has not answered.
    pub open: Vec<u64>,
}

/// All that is wanted of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asks {
    /// Of the poll that this answers.
    pub seq: u64,
    /// What is wanted, the oldest first, at most [`ASKS`].
    pub asks: Vec<Ask>,
}

/// One thing that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// Names it in the answer.
    pub id: u64,
    /// What is wanted.
    pub want: Want,
}

/// What the operator may want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Want {
    /// Bytes of a container's log.
    Log(LogWant),
    /// Something that is newer than this reader.
    #[serde(untagged)]
    Other(Value),
}

/// Which bytes of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogWant {
    /// The container.
    pub container: String,
    /// The file before the present one, `.prev`.
    pub previous: bool,
    /// Where the bytes begin.
    pub from: Begin,
    /// Answer only when there is at least one byte, or there will be none.
    pub wait: bool,
}

/// Where wanted bytes begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Begin {
    /// With the first byte.
    Start,
    /// With the last so many lines of what is there.
    Lines(u64),
    /// Where a reader has come to.
    Position(Position),
}

/// A place in a log, also when its file was begun anew meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Position {
    /// The first bytes of the file, up to [`crate::log::HEAD`]: they tell it from others.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub head: Vec<u8>,
    /// Bytes of the file before it.
    pub offset: u64,
}

/// The answer to one ask. Its bytes stand behind it in the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Who answers.
    pub key: JobKey,
    /// Which ask.
    pub id: u64,
    /// What it says.
    pub answer: Answer,
}

/// What a sender answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Bytes of a log.
    Log(LogPart),
    /// It cannot be had: this is why.
    Failed(String),
    /// It does not know such a thing.
    Unsupported,
    /// Something that is newer than this reader.
    #[serde(untagged)]
    Other(Value),
}

/// Which bytes of a log came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPart {
    /// The file and the place in it where the bytes begin.
    pub at: Position,
    /// How many bytes the file has now.
    pub size: u64,
    /// Nothing is missing between the place that was asked for and this one; else the log was begun
    /// anew, by another start of the job or more than once.
    pub continues: bool,
    /// These are the last bytes: the container has ended, and nobody writes to its log any more. An older
    /// sender does not say so.
    #[serde(default)]
    pub closed: bool,
}

impl Body for Poll {
    const WORD: &[u8] = b"htc-poll-1";
}
impl Body for Asks {
    const WORD: &[u8] = b"htc-asks-1";
}
impl Body for Reply {
    const WORD: &[u8] = b"htc-answer-1";
}

impl Poll {
    /// Its body.
    pub fn write(&self) -> Vec<u8> {
        self.body(&[])
    }

    /// Reads a body; nothing when it is no poll.
    pub fn read(body: &[u8]) -> Option<Poll> {
        Poll::of(body).map(|(poll, _)| poll)
    }

    /// What the newer of two polls has more of.
    pub fn order(&self) -> (u32, u64) {
        (self.start, self.seq)
    }
}

impl Asks {
    /// Their body.
    pub fn write(&self) -> Vec<u8> {
        self.body(&[])
    }

    /// Reads a body; nothing when it has none.
    pub fn read(body: &[u8]) -> Option<Asks> {
        Asks::of(body).map(|(asks, _)| asks)
    }
}

impl Reply {
    /// Its body, with these bytes behind it.
    pub fn write(&self, bytes: &[u8]) -> Vec<u8> {
        self.body(bytes)
    }

    /// Reads a body and its bytes; nothing when it is no reply, or has too many.
    pub fn read(body: &[u8]) -> Option<(Reply, &[u8])> {
        Reply::of(body).filter(|(_, bytes)| bytes.len() <= PIECE)
    }
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
