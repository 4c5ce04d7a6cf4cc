//! Every interval and size, with its unit and its reason. What a site may want to change is a
//! setting instead (see `config`).

mod callers;
mod owner;
mod workers;

use std::time::Duration;

pub use callers::*;
pub use owner::*;
pub use workers::*;

/// Bytes of an HTCJob's script. The API server takes objects of 1.5 MB, and each stays in memory and is
/// written for each copy; scripts that people write are a hundredth of this.
pub const SOURCE_MAX: usize = 256 << 10;

/// Bytes of an HTCJob's command: each of its words takes ten times its room until the job has ended, and text
/// belongs into the script.
pub const COMMAND_MAX: usize = 64 << 10;

/// Bytes of the name of an image: the longest path of Linux.
pub const IMAGE_MAX: usize = 4 << 10;

/// Bytes of `spec.name`: it becomes a variable of the script.
pub const NAME_MAX: usize = 4 << 10;

/// HTCJobs in one page of a list: with scripts of [`SOURCE_MAX`] about 13 MB, and 75 MB with the largest
/// objects that the API server takes.
pub const LIST_PAGE: u32 = 50;

/// So long nothing may come of an answer of the API server, which itself gives up after 60 s.
pub const API_SILENCE: Duration = Duration::from_secs(65);

/// A watch is made anew after so many seconds, which costs a request: one that is silent for 5 s more has died
/// without a word, and nobody would know.
pub const WATCH_SECONDS: u32 = 45;

/// Two watches of a path begin so far apart.
pub const WATCH_GAP: Duration = Duration::from_secs(1);

/// Without being renewed a lease is its holder's for so long.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);

/// How often it is renewed: two renewals may fail.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(10);

/// How often an operator that starts looks whether another one renews it.
pub const LEASE_LOOK: Duration = Duration::from_secs(1);

/// An API server that takes longer for the lease is not waited for: jobs are.
pub const LEASE_PATIENCE: Duration = Duration::from_secs(5);

/// A tool's answer is read up to here: 100,000 projected ads are about 70 MB.
pub const TOOL_OUTPUT_MAX: u64 = 256 << 20;

/// What a tool says on stderr is kept up to here: it becomes one line.
pub const STDERR_KEPT: u64 = 64 << 10;

/// `condor_q`: gives up by itself after 20 s when the schedd hangs; a large queue takes seconds.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(60);

/// `condor_history`: reads its files from their ends; 60 MB of them take seconds.
pub const HISTORY_DEADLINE: Duration = Duration::from_secs(60);

/// Jobs in one question to `condor_history`.
pub const HISTORY_BATCH: usize = 100;

/// Between two questions to `condor_history`: each may read all that it has.
pub const HISTORY_GAP: Duration = Duration::from_secs(2);

/// When `condor_history` does not know a missing job, it is asked again after this time.
pub const HISTORY_AGAIN: Duration = Duration::from_secs(600);

/// Fewer missing jobs are no alarm, however few are known.
pub const VANISHED_LEAST: usize = 3;

/// Ranges of the predecessor's clusters in a question: each takes 60 bytes at most, and an argument of a
/// program has room for 128 KiB.
pub const CLUSTER_RANGES: usize = 1_000;

/// `condor_status`: 10,000 projected slots take a second; a collector that is away says so within 20 s.
pub const STATUS_DEADLINE: Duration = Duration::from_secs(60);

/// How old an answer what the pool has may be before whoever asks has it asked again: virtual kubelets ask
/// every 30 s, and machines come and go more slowly than that.
pub const CAPACITY_LOOK: Duration = Duration::from_secs(60);

/// `condor_rm` and `condor_qedit`: 10,000 jobs take 0.2 s; a hanging schedd 20 s.
pub const ACT_DEADLINE: Duration = Duration::from_secs(60);

/// `condor_transfer_data` of at most [`TRANSFER_BATCH`] jobs. One that takes longer has large outputs, or hangs:
/// each of its jobs then gets a call of its own.
pub const TRANSFER_DEADLINE: Duration = Duration::from_secs(600);

/// A job whose outputs did not come alone in that time gets time for all that it may bring home at so many bytes
/// a second: 68 minutes more for a GiB.
pub const TRANSFER_PACE: u64 = 256 << 10;

/// The time is doubled whenever it was not enough, up to this.
pub const TRANSFER_DEADLINE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Calls of `condor_transfer_data` at the same time. The schedd bounds its transfers by itself; this bounds how
/// many one that hangs keeps waiting.
pub const TRANSFERS_AT_ONCE: usize = 4;

/// So many of them at most are for outputs that were too slow before.
pub const SLOW_TRANSFERS: usize = 2;

/// Outputs that do not come are told of after so many calls: most of the time the next one brings them.
pub const LATE_TOLD: u32 = 3;

/// `condor_submit`: hangs for ever on a stopped schedd; 200 jobs take 2 s. Nothing of an earlier
/// life can be committed later than this after that life ended.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(120);

/// From the intent to the death of its tool: the files of a batch are written before the tool starts.
pub const INTENT_DEADLINE: Duration = Duration::from_secs(180);

/// A submission that takes longer tells how many jobs arrive in time.
pub const SLOW_SUBMISSION: Duration = Duration::from_secs(10);

/// How often a batch is tried that is larger than one that was refused: a site may have raised its limit.
pub const BATCH_RAISED: Duration = Duration::from_secs(3_600);

/// A submission of jobs in doubt that failed and took t is followed by no other of that kind for t times
/// this: the others have four fifths of the time.
pub const DOUBT_REST_FACTOR: u32 = 4;

/// The shortest and the longest of these rests.
pub const DOUBT_REST: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The longest pause of a job that fails alone: a thousand of them are four submissions a second.
pub const LONE_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Jobs in one `condor_transfer_data`: 500 took 1.2 s.
pub const TRANSFER_BATCH: usize = 200;

/// Added to a job's grace for `job_max_vacate_time`: the sender kills, reaps and writes its result.
pub const GRACE_MARGIN_SECONDS: u32 = 10;

/// An ended job stays in the queue this long without our acknowledgement (10 days, as HTCondor's
/// own default for spooled jobs).
pub const KEPT_IN_QUEUE_SECONDS: u32 = 864_000;

/// An intent older than this is not resubmitted when its jobs are absent: they may have left by
/// [`KEPT_IN_QUEUE_SECONDS`] (one day less, for clocks and downtimes).
pub const INTENT_TRUSTED: Duration = Duration::from_secs(9 * 86_400);

/// The schedd moves a job from "held, spooling" to idle a moment after the last file has arrived,
/// which may be after the tool's end.
pub const STAGE_PATIENCE: Duration = Duration::from_secs(20);

/// Shortest time between two queries. A query over few jobs costs 30 ms of CPU.
pub const QUERY_GAP: Duration = Duration::from_millis(150);

/// A query may take this share of the time at most: after one that took t, wait t times this.
pub const QUERY_REST_FACTOR: u32 = 3;

/// So many workloads of an answer are judged before others get at the board: that is a millisecond.
pub const MERGED_AT_ONCE: usize = 500;

/// How often an idle operator looks for jobs that it does not know.
pub const IDLE_LOOK: Duration = Duration::from_secs(60);

/// The schedd needs a moment between the sender's last report and `JobStatus == 4`. For so long
/// after a final report the tracker asks as often as [`QUERY_GAP`] allows.
pub const END_EXPECTED: Duration = Duration::from_secs(5);

/// A job that ended by its ad but whose files do not come home is judged by its ad alone after
/// this time.
pub const RESULT_PATIENCE: Duration = Duration::from_secs(15);

/// First and longest pause after failed submissions and tools.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// With fewer free bytes our own disk counts as full: outputs that cannot be fetched are waited for.
pub const DISK_FULL: u64 = 256 << 20;

/// So many bytes of the data folder's disk are held in reserve for ends and removals: the database's journal is
/// emptied at half of that.
pub const BALLAST: u64 = 8 << 20;

/// How long after its end a wish's tombstone still answers for it.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The message of an end, in bytes: Kubernetes takes events with notes of up to 1 kB.
pub const MESSAGE_MAX: usize = 900;

/// HTCondor's sentence about a hold, in bytes: the remedy must still fit behind it in a message.
pub const HOLD_REASON_MAX: usize = 400;

/// What a tool said, in characters, where it is part of a message.
pub const TROUBLE_MAX: usize = 400;

/// A pool that has not answered for so long is told in the status of what runs there: shorter silences, of a schedd
/// that is started anew, would have every status written twice.
pub const TROUBLE_TOLD: Duration = Duration::from_secs(60);

/// A sentence in a status, in bytes: it may quote what a user wrote, and an object has 1.5 MB at most.
pub const STATUS_TEXT_MAX: usize = 8 << 10;

/// A removal that was asked for is asked for again after this time.
pub const REMOVAL_REPEAT: Duration = Duration::from_secs(10);

/// While something is being removed or settles, looks come as often as this.
pub const QUICK_LOOK: Duration = Duration::from_millis(300);

/// The schedd takes about a second from the end of a `condor_submit` to `StageInFinish`.
pub const SETTLING: Duration = Duration::from_secs(3);

/// Wishes that come within this time of a submission's end are a burst: they wait for one another
/// until none has come for the second time, and not longer than the third. A lonely one does not.
pub const BURST: (Duration, Duration, Duration) =
    (Duration::from_secs(1), Duration::from_millis(50), Duration::from_millis(250));

/// After a look at the board that found nothing to submit and took t, the next comes t times this later: with
/// 10,000 workloads it takes milliseconds, and each wish rings.
pub const PICK_REST_FACTOR: u32 = 10;

/// But never longer than this.
pub const PICK_REST_MAX: Duration = Duration::from_millis(500);

/// That a namespace was served is forgotten after this: whoever waits for so long comes first anyway.
pub const TURN_KEPT: Duration = Duration::from_secs(3_600);

/// A queue that has been full for so long is told to those who wait: most of the time it is not for long.
pub const FULL_TOLD: Duration = Duration::from_secs(30);

/// The rest after a query is bounded by this, however long the query took.
pub const QUERY_REST_MAX: Duration = Duration::from_secs(5);

/// So long after a store was made, a report of an unknown workload may be one of an earlier life.
pub const YOUNG_STORE: Duration = Duration::from_secs(600);

/// How often the door asks whether a deleted object's jobs are gone; mostly the bell is quicker.
pub const GONE_LOOK: Duration = Duration::from_secs(2);

/// The watch brings a changed object within this time.
pub const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// The note of an event, in bytes: the API server refuses one above 1,024.
pub const EVENT_NOTE_MAX: usize = 1_000;

/// An event that cannot be written in this time is not written.
pub const EVENT_DEADLINE: Duration = Duration::from_secs(10);

/// How often the door asks at least whether HTCJobs can be listed, while they cannot.
pub const CRD_LOOK: Duration = Duration::from_secs(30);

/// The shortest time between two looks for workloads whose objects have vanished.
pub const VANISHED_GAP: Duration = Duration::from_secs(1);

/// How often the door looks for them at least.
pub const VANISHED_LOOK: Duration = Duration::from_secs(60);

/// The poll of a running job is held for so long: below [`SILENCE`], and below the minute after which
/// most proxies give up.
pub const POLL_HOLD: Duration = Duration::from_secs(50);

/// A job whose poll was let go comes again at once: one that has not for so long cannot be asked.
pub const POLL_GAP: Duration = Duration::from_secs(5);

/// A job that cannot be asked is waited for so long before `condor_tail` is started, which takes 4 to
/// 6 s: jobs poll within a second of their start, and of ours.
pub const POLL_AWAITED: Duration = Duration::from_secs(2);

/// A job answers at once what need not be waited for; one that is stopped does not.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// A question that waits is asked again after this time as one that is answered at once: polls may pass
/// where answers do not, and a job is asked only so much at a time. For 200 silent logs that is 20
/// requests a second.
pub const ANSWER_PROOF: Duration = Duration::from_secs(20);

/// How often a reader that waits for an answer makes sure that the job can still be asked.
pub const ANSWER_LOOK: Duration = Duration::from_secs(1);

/// After a job has failed to answer, its log is read by `condor_tail` for so long.
pub const POLL_MISTRUST: Duration = Duration::from_secs(30);

/// A job whose poll finds no place comes again after this time: 20,000 of them are 70 requests a second.
pub const POLL_LATER: Duration = Duration::from_secs(300);

/// One in so many places is kept for polls of jobs of which somebody wants something.
pub const POLL_RESERVE: usize = 8;

/// A poll is a few ids; see [`htc_core::poll::WORDS_MAX`].
pub const POLL_BODY_MAX: usize = 4 << 10;

/// A piece of a log, and the words before it.
pub const ANSWER_BODY_MAX: usize = htc_core::poll::PIECE + (4 << 10);

/// Status writes per object: at most one in this time.
pub const STATUS_GAP: Duration = Duration::from_secs(1);

/// After a status that took t to make, none is made for t times this: one of 20,000 copies takes
/// 10 ms, and the bell may ring for each of them.
pub const STATUS_REST_FACTOR: u32 = 20;

/// But never longer than this.
pub const STATUS_REST_MAX: Duration = Duration::from_secs(5);

/// An object that failed is looked at again after this time, doubled up to five minutes.
pub const RECONCILE_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// One that failed because the API server is out of order is looked at again after this time at most: 10,000 are
/// 170 requests a second.
pub const OUTAGE_BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Jobs whose ids a status lists one by one; beyond that ranges.
pub const JOB_IDS_LISTED: usize = 1_000;

/// Copies that one HTCJob may ask for.
pub const QUEUE_MAX: u32 = 20_000;

/// How long `logs` waits for the files of a job that has just ended, before it says so or gives up.
pub const LOGS_PATIENCE: Duration = Duration::from_secs(30);

/// `condor_tail` of what a log has now: the first call of a job takes 4 to 6 s, and on a stopped
/// schedd, or a job that has just ended, it hangs for ever.
pub const TAIL_DEADLINE: Duration = Duration::from_secs(60);

/// A `condor_tail` that follows a log is started anew after this time: one that hangs looks like one
/// that has nothing to say. It then brings the whole log again.
pub const TAIL_SESSION: Duration = Duration::from_secs(600);

/// Calls of `condor_tail` at the same time: each is a process of 15 MB, and asks the schedd for a place
/// in its transfer queue every 2 s.
pub const TAILS_AT_ONCE: usize = 8;

/// What one `condor_tail` may bring: the in-job program begins a log anew at 50 MiB, but a container that has
/// left its image can write to the file, too.
pub const MIRROR_MAX: u64 = 128 << 20;

/// While others wait for a place among these, a `condor_tail` has it for so long: twice what the
/// first call of a job takes.
pub const TAIL_TURN: Duration = Duration::from_secs(12);

/// So long after the end of a container is known, all that it wrote is in its log: what its pipes hold is
/// written after the end is told, at most a MiB each.
pub const LOG_SETTLES: Duration = Duration::from_secs(2);

/// A log is read in pieces of this size.
pub const LOG_PIECE: usize = 64 << 10;

/// How often the janitor looks what may go, at most.
pub const JANITOR_LOOK: Duration = Duration::from_secs(60);

/// How often tombstones older than [`TOMBSTONE_KEPT`] are forgotten: it is a month, so an hour is soon.
pub const PRUNE_LOOK: Duration = Duration::from_secs(3_600);

/// The wall clock may differ by so much from the time that was counted: it is adjusted a little now and then.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// A wall clock that has jumped is believed when it has kept its course for so long: a wrong one is found by then.
/// Until then nothing is removed by its age.
pub const JUMP_DOUBTED: Duration = Duration::from_secs(86_400);

/// After a boot of the machine it is the same for so long: some start with a wrong clock, which is soon set.
pub const BOOT_DOUBTED: Duration = Duration::from_secs(3_600);

/// On SIGTERM, workers and open requests get this long.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// And those who read a log as it is now; those who follow one are let go at once.
pub const LAST_READS: Duration = Duration::from_secs(5);

/// A queue that is another than ours is compared again after this time: it may be back.
pub const ORIGIN_AGAIN: Duration = Duration::from_secs(5);

/// Records of the history that are looked at for a job that a new or older database does not know.
pub const HISTORY_SCANNED: &str = "100000";

/// So many of them are compared with the database: what it knows of may be among them, as submissions that came to
/// nothing.
pub const HISTORY_LISTED: &str = "500";

/// Each question of `doctor`: a person waits.
pub const DOCTOR_DEADLINE: Duration = Duration::from_secs(20);

/// A test job of `doctor` waits this long for a worker: a pool negotiates once a minute.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(300);

/// How often `doctor` looks at its test job.
pub const PROBE_LOOK: Duration = Duration::from_secs(1);

/// A test job that nobody looks at any more leaves the queue after this time.
pub const PROBE_KEPT_SECONDS: u32 = 3_600;

/// Free space of the data folder, in bytes, that `doctor` wants: outputs come home to it.
pub const FREE_SPACE_WANTED: u64 = 1 << 30;

/// A credential that ends sooner is worth a warning.
pub const EXPIRY_WARNED: Duration = Duration::from_secs(86_400);

/// Clocks that differ by more make credentials seem expired, or not valid yet.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);
