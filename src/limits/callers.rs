//! Intervals and sizes of listeners, of their callers, and of the InterLink door.

use std::time::Duration;

/// A report has at most 64 KiB; the rest is for the envelope.
pub const EVENT_BODY_MAX: usize = 128 << 10;

/// Of a larger body so much is read and thrown away before it is refused: its sender is still writing.
pub const EVENT_DRAINED_MAX: usize = 4 << 20;

/// A job sends its report in one go: whoever takes longer for the body only holds a connection.
pub const EVENT_PATIENCE: Duration = Duration::from_secs(10);

/// Connections on one port: half of the file descriptors that a process gets where nobody said otherwise.
pub const CONNECTIONS: usize = 512;

/// What is read of a connection before it makes sense: no head of a request may have more. A virtual kubelet's has
/// less than 3 KiB; the library's own bound is 400 KiB, for each of thousands of connections.
pub const CONNECTION_BUFFER: usize = 32 << 10;

/// A connection from which nothing has come for so long is closed; longer than an answer takes.
pub const SILENCE: Duration = Duration::from_secs(60);

/// Connections of InterLink callers on one listener: a virtual kubelet with TLS opens one for each question
/// and leaves it open. Less where a process gets fewer file descriptors.
pub const CALLERS: usize = 4_096;

/// An InterLink caller's connection without a question is closed after this time: longer than a virtual
/// kubelet's pause between two pings, so that it keeps its connection.
pub const CALLER_SILENCE: Duration = Duration::from_secs(75);

/// How often a connection that found the room full of those who are being answered looks again.
pub const ROOM_LOOK: Duration = Duration::from_secs(1);

/// After so much silence the system asks whether the other side of a connection is still there, and so
/// often: whoever follows a silent log may have gone without a word.
pub const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// A connection whose other side confirms nothing of what it was sent or asked for so long is dead: the
/// system alone would try for a quarter of an hour.
pub const UNCONFIRMED: Duration = Duration::from_secs(120);

/// A TLS handshake is a few messages.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// The body of a call that is refused is read and thrown away up to this size, which is the largest that a
/// call may have, so that the refusal is read: a caller that gets no answer shows its token to others.
pub const REFUSED_DRAINED_MAX: usize = 16 << 20;

/// And for so long.
pub const REFUSED_PATIENCE: Duration = Duration::from_secs(30);

/// A refused call is told in the log at most once in this time.
pub const REFUSAL_TOLD: Duration = Duration::from_secs(60);

/// An issuer's keys are asked for again after this time.
pub const ISSUER_KEYS_KEPT: Duration = Duration::from_secs(3_600);

/// A token with an unknown key makes us ask the issuer again, at most once in this time.
pub const ISSUER_GAP: Duration = Duration::from_secs(30);

/// An issuer that does not answer in this time is not waited for.
pub const ISSUER_PATIENCE: Duration = Duration::from_secs(10);

/// Of an issuer's answer so many bytes are read.
pub const ISSUER_ANSWER_MAX: usize = 1 << 20;

/// The doctor asks who has a port that is in use; a neighbour on this machine that takes longer is none of ours.
pub const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(3);

/// What the API server said of a token is believed for so long: every question brings the token.
pub const REVIEW_KEPT: Duration = Duration::from_secs(60);

/// An API server that does not review a token in this time is not waited for: it may hang, and a caller that
/// gets no answer within two minutes shows its token to others.
pub const REVIEW_PATIENCE: Duration = Duration::from_secs(10);

/// While the API server reviews nothing, a token that it found good is believed for so long: virtual
/// kubelets outlive its restart and upgrade. A token that was revoked counts no longer than this.
pub const REVIEW_GOOD_KEPT: Duration = Duration::from_secs(600);

/// So many tokens are remembered; beyond that only those that were found good lately, or none.
pub const REVIEWS_KEPT: usize = 1_000;

/// Of tokens that were not good lately so many are shown to the API server in this time: more than virtual kubelets
/// have, and less than it notices.
pub const STRANGERS_REVIEWED: u32 = 50;

/// See [`STRANGERS_REVIEWED`].
pub const STRANGERS_WINDOW: Duration = Duration::from_secs(10);

/// The copies of logs in DataRootFolder are removed after so long.
pub const RUN_FILES_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How often they are looked through.
pub const RUN_FILES_LOOK: Duration = Duration::from_secs(3_600);

/// A copy of a log has at most so many bytes; a log that is larger begins anew at 50 MiB.
pub const RUN_FILE_MAX: usize = 64 << 20;

/// A pod that nobody brought is told as waiting for so long: virtual kubelets bring at most five a second,
/// and ask for a pod before they have brought it.
pub const UNKNOWN_WAITS: Duration = Duration::from_secs(300);

/// A pod that nobody has asked for in so long, while others were asked for, was deleted by force while its
/// virtual kubelet was away: nobody will say so.
pub const ORPHAN_AFTER: Duration = Duration::from_secs(86_400);

/// A request brings at most so much: a pod comes with its ConfigMaps and Secrets, whole.
pub const BODY_MAX: usize = 16 << 20;

/// Bodies with more bytes than these are large: a question after 1,000 pods has 3 MB.
pub const BODY_SMALL: usize = 4 << 20;

/// So many bytes of large bodies are there at a time, and as many of small ones: a pod takes up to six times its
/// body until it is kept. Of `/create`, and as many of questions.
pub const BODIES_AT_ONCE: usize = 32 << 20;

/// The first bytes of each body are read without a turn, and a question that has no more waits for nobody: those
/// after one pod have a few KiB, and all callers together hold 256 MiB so.
pub const BODY_FREE: usize = 64 << 10;

/// A body with more bytes is not parsed where others are answered: that takes a millisecond and more.
pub const BODY_PARSED_HERE: usize = 256 << 10;

/// Of a larger one so much is read and thrown away before it is refused: who is not answered publishes
/// its own token.
pub const BODY_DRAINED_MAX: usize = 64 << 20;

/// Callers are other servers, and send what they have in one go.
pub const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// A call that makes something durable is answered within this time, done or not: callers give up after
/// two minutes.
pub const TAKING_PATIENCE: Duration = Duration::from_secs(20);

/// So many answers show the init containers of a pod as waiting to a caller that does not know them yet;
/// one would do, but it may be lost.
pub const BARE_ANSWERS: u32 = 3;

/// When nobody has asked for anything for so long, callers are away: virtual kubelets ping every 30 s.
pub const SILENT_CALLERS: Duration = Duration::from_secs(600);

/// What was asked about a pod is remembered for so long at least.
pub const HEARD_KEPT: Duration = Duration::from_secs(3_600);

/// Pods in one call of `/delete`: callers name one, and each takes a write.
pub const DELETED_AT_ONCE: usize = 100;

/// Pods of which nothing ever runs, of one caller in [`IDLE_PODS_WINDOW`]: deleted ones that nobody brought, which
/// are kept for a month in some hundred bytes, and refused ones.
pub const IDLE_PODS_MAX: usize = 10_000;

/// See [`IDLE_PODS_MAX`].
pub const IDLE_PODS_WINDOW: Duration = Duration::from_secs(86_400);

/// A pod that is not here is remembered only as long as a caller has fewer than these, some tens of MB: one question
/// can name half a million.
pub const HEARD_MAX: usize = 100_000;

/// Who has not asked for a pod in so long, while others were asked for, does so no more, where there is a
/// sign of it: its `/create` had no good answer, or it has ended. A virtual kubelet that died under the call
/// brings the pod again when it is back.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(3_600);

/// So many connections to a unix socket wait to be accepted; as on TCP.
pub const BACKLOG: u32 = 1_024;

/// How often tokens, certificates and credentials are looked at for a new version.
pub const FILES_LOOK: Duration = Duration::from_secs(1);

/// How often the InterLink door looks for pods that nobody asks for: at most, and at least.
pub const KEEPER_LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Those who follow the log of one container at the same time.
pub const FOLLOWERS: usize = 16;

/// One in so many places for callers may be taken by one who follows a log: the others are for questions,
/// which need one for a moment.
pub const FOLLOWERS_SHARE: usize = 4;

/// What is home of a pod that was taken away stays for so long: it is taken away at the start of its
/// grace, which is 30 s where nothing else is said.
pub const DELETED_KEPT: Duration = Duration::from_secs(60);
