//! Every interval and size, with its unit and its reason. What a site may want to change is a
//! setting instead (see `config`).

mod callers;

use std::time::Duration;

pub use callers::*;

/// A tool's answer is read up to here: 100,000 projected ads are about 70 MB.
pub const TOOL_OUTPUT_MAX: u64 = 256 << 20;

/// What a tool says on stderr is kept up to here: it becomes one line.
pub const STDERR_KEPT: u64 = 64 << 10;

/// `condor_q`: gives up by itself after 20 s when the schedd hangs; a large queue takes seconds.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(60);

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

/// `condor_transfer_data`: one call carries at most [`TRANSFER_BATCH`] jobs.
pub const TRANSFER_DEADLINE: Duration = Duration::from_secs(600);

/// `condor_submit`: hangs for ever on a stopped schedd; 200 jobs take 2 s. Nothing of an earlier
/// life can be committed later than this after that life ended.
pub const SUBMIT_DEADLINE: Duration = Duration::from_secs(120);

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

/// An index whose files did not reach the pool in so many submissions, in one life of ours, is given up:
/// with [`STAGE_PATIENCE`] and the pauses between them, that is about a quarter of an hour.
pub const STAGE_TRIES: u32 = 30;

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

/// Outputs that have not come home after so many calls that the pool answered are given up: with
/// the pauses between them, that is a quarter of an hour.
pub const FETCH_TRIES: u32 = 30;

/// First and longest pause after failed submissions and tools.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// With fewer free bytes our own disk counts as full: outputs that cannot be fetched are waited for.
pub const DISK_FULL: u64 = 256 << 20;

/// How long after its end a wish's tombstone still answers for it.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The message of an end, in bytes: Kubernetes takes events with notes of up to 1 kB.
pub const MESSAGE_MAX: usize = 900;

/// HTCondor's sentence about a hold, in bytes: the remedy must still fit behind it in a message.
pub const HOLD_REASON_MAX: usize = 400;

/// What a tool said, in characters, where it is part of a message.
pub const TROUBLE_MAX: usize = 400;

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
