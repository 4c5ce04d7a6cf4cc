//! The metrics, all of them, with their names and units.

use std::time::Duration;

use htc_core::workload::progress::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// One label with a bounded set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    kind: &'static str,
}

impl From<&'static str> for Kind {
    fn from(kind: &'static str) -> Kind {
        Kind { kind }
    }
}

/// The name of a hold code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// Counters and gauges of the whole process.
pub struct Metrics {
    registry: Registry,
    /// Wishes taken.
    pub wishes: Counter,
    /// 1 while the pool answers questions after our jobs, else 0.
    pub pool_reachable: Gauge,
    /// Questions what the pool has, by result.
    pub capacity_looks: Family<Kind, Counter>,
    /// Jobs seen in the queue with all their files for the first time.
    pub committed: Counter,
    /// Jobs of an earlier life taken over.
    pub adopted: Counter,
    /// Jobs removed because their files never all arrived.
    pub unstaged: Counter,
    /// Jobs whose submission failed alone, which are tried again.
    pub doubtful: Gauge,
    /// Jobs of which their worker could start nothing; they go to another.
    pub worker_failures: Counter,
    /// Jobs removed because their index has another job, or had ended.
    pub copies: Counter,
    /// Jobs of our instance in the queue that nobody wishes.
    pub orphans: Gauge,
    /// Jobs that should be in the queue and are missing there.
    pub missing: Gauge,
    /// 1 while most of the jobs that should be in the queue are missing.
    pub vanished: Gauge,
    /// Ads of ours that cannot be judged.
    pub riddles: Gauge,
    /// Ads of ours of which something cannot be read, which then counts as absent.
    pub unread: Gauge,
    /// Jobs of other owners that bear our instance id.
    pub foreign: Gauge,
    /// Questions to HTCondor's history, by result.
    pub history_looks: Family<Kind, Counter>,
    /// Reports by what became of them.
    pub reports: Family<Kind, Counter>,
    /// Reports that came in the ads of jobs, by what became of them.
    pub chirps: Family<Kind, Counter>,
    /// Polls of running jobs, by what became of them.
    pub polls: Family<Kind, Counter>,
    /// Polls that are held now.
    pub polls_held: Gauge,
    /// Answers of running jobs, by what became of them.
    pub answers: Family<Kind, Counter>,
    /// Bytes that running jobs have answered with.
    pub answer_bytes: Counter,
    /// Calls of `condor_tail`.
    pub tails: Counter,
    /// Calls of `condor_transfer_data`, by result.
    pub transfers: Family<Kind, Counter>,
    /// Jobs whose outputs have not come home though they were fetched.
    pub outputs_late: Gauge,
    /// Jobs whose outputs were given up.
    pub outputs_given_up: Counter,
    /// Workloads whose outputs were removed because their time was over.
    pub collected: Counter,
    /// Bytes that are free where the data folder is.
    pub data_free: Gauge,
    /// 1 while the data folder is full and nothing new is taken in.
    pub data_full: Gauge,
    /// Namespaces that have no room for what waits.
    pub namespaces_full: Gauge,
    /// Whether the wall clock has jumped, so that nothing is removed by its age.
    pub clock_doubted: Gauge,
    /// Rows of the database that cannot be read.
    pub unreadable_rows: Gauge,
    /// Status writes to the API server, by result.
    pub status_writes: Family<Kind, Counter>,
    /// Objects that could not be reconciled, by reason.
    pub reconcile_errors: Family<Kind, Counter>,
    /// Calls of InterLink, by what became of them.
    pub interlink_calls: Family<Kind, Counter>,
    /// Pods of InterLink that were taken away though nobody asked for it, by reason.
    pub interlink_removed: Family<Kind, Counter>,
    /// Calls that follow a log.
    pub interlink_followers: Gauge,
    /// 1 while the store and the queue do not belong together.
    pub mismatch: Gauge,
    /// Master keys that jobs have and that are not in the file.
    pub keys_missing: Gauge,
    /// 1 while the lease of our instance id is ours.
    pub lease_held: Gauge,
    /// Calls that remove or release jobs, by result.
    pub chores: Family<Kind, Counter>,
    ended: Family<Kind, Counter>,
    held: Family<Code, Gauge>,
    submissions: Family<Kind, Counter>,
    submission_seconds: Histogram,
    submission_jobs: Counter,
    looks: Family<Kind, Counter>,
    look_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("htc");
        let r = &mut registry;
        Metrics {
            wishes: add(r, "wishes", "Wishes taken"),
            pool_reachable: add(r, "pool_reachable", "1 while the pool answers, else 0"),
            capacity_looks: add(r, "capacity_looks", "Questions what the pool has, by result"),
            committed: add(r, "jobs_committed", "Jobs seen in the queue with all their files"),
            adopted: add(r, "jobs_adopted", "Jobs of an earlier life taken over"),
            unstaged: add(r, "jobs_unstaged", "Jobs removed whose files never all arrived"),
            doubtful: add(r, "jobs_doubtful", "Jobs whose submission failed alone; they are tried again"),
            worker_failures: add(r, "worker_failures", "Jobs of which their worker could start nothing"),
            copies: add(r, "jobs_copies", "Jobs removed that should not run"),
            orphans: add(r, "jobs_orphans", "Jobs of our instance that nobody wishes"),
            missing: add(r, "jobs_missing", "Jobs that should be in the queue and are not"),
            vanished: add(r, "queue_vanished", "1 while most jobs are missing in the queue at once"),
            riddles: add(r, "ads_unreadable", "Ads of our jobs that cannot be judged"),
            unread: add(r, "ads_partly_unreadable", "Ads of our jobs with something unreadable"),
            foreign: add(r, "jobs_foreign", "Jobs of other users that bear our instance id"),
            history_looks: add(r, "history_looks", "Questions to HTCondor's history, by result"),
            interlink_calls: add(r, "interlink_calls", "Calls of InterLink, by what became of them"),
            interlink_removed: add(r, "interlink_removed", "Pods taken away unasked, by reason"),
            interlink_followers: add(r, "interlink_followers", "Calls of InterLink that follow a log"),
            mismatch: add(
                r,
                "store_mismatch",
                "1 while the database and the queue do not belong together, and nothing is submitted",
            ),
            keys_missing: add(
                r,
                "master_keys_missing",
                "Master keys by which running jobs sign and that are not in the file",
            ),
            lease_held: add(
                r,
                "lease_held",
                "1 while the lease by which a second operator is noticed is ours",
            ),
            chores: add(r, "chores", "Calls that remove or release jobs, by result"),
            transfers: add(r, "transfers", "Calls of condor_transfer_data, by result"),
            outputs_late: add(
                r,
                "outputs_late",
                "Jobs whose outputs have not come home though they were fetched",
            ),
            outputs_given_up: add(r, "outputs_given_up", "Jobs whose outputs were given up"),
            collected: add(r, "outputs_collected", "Workloads whose outputs were removed in time"),
            data_free: bytes(r, "data_free", "Free space where the data folder is"),
            data_full: add(
                r,
                "data_full",
                "Whether the data folder is full, so that nothing new is taken in",
            ),
            namespaces_full: add(
                r,
                "namespaces_full",
                "Namespaces whose limits leave no room for what waits",
            ),
            clock_doubted: add(
                r,
                "clock_doubted",
                "Whether nothing is removed by its age: the clock has jumped",
            ),
            unreadable_rows: add(r, "unreadable_rows", "Rows of the database that cannot be read"),
            ended: add(r, "jobs_ended", "Jobs ended, by outcome"),
            held: add(r, "jobs_held", "Jobs on hold now, by HTCondor's hold code"),
            reports: add(r, "reports", "Reports of jobs, by what became of them"),
            chirps: add(r, "chirps", "Reports of jobs that came in their ads, by what became of them"),
            polls: add(r, "polls", "Polls of running jobs, by what became of them"),
            polls_held: add(r, "polls_held", "Polls of running jobs that are held now"),
            answers: add(r, "answers", "Answers of running jobs, by what became of them"),
            answer_bytes: bytes(r, "answer", "Bytes that running jobs have answered with"),
            tails: add(r, "condor_tails", "Calls of condor_tail"),
            status_writes: add(r, "status_writes", "Status writes, by result"),
            reconcile_errors: add(r, "reconcile_errors", "Objects that failed, by reason"),
            submissions: add(r, "submissions", "Calls of condor_submit, by result"),
            submission_seconds: seconds(r, "submission", "Time of one condor_submit"),
            submission_jobs: add(r, "submission_jobs", "Jobs handed to condor_submit"),
            looks: add(r, "looks", "Queries of the pool, by result"),
            look_seconds: seconds(r, "look", "Time of one query of the pool"),
            registry,
        }
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn bytes<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Bytes, metric.clone());
    metric
}

fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let metric = Histogram::new([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0]);
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

impl Metrics {
    /// A job has ended.
    pub fn ended(&self, outcome: Outcome) {
        self.ended.get_or_create(&outcome.reason().into()).inc();
    }

    /// So many jobs are on hold with the code of this name.
    pub fn held(&self, code: &'static str, jobs: i64) {
        self.held.get_or_create(&Code { code }).set(jobs);
    }

    /// A `condor_submit` has ended; `error` is what its failure is about.
    pub fn submission(&self, jobs: usize, time: Duration, error: Option<&'static str>) {
        self.submissions.get_or_create(&error.unwrap_or("ok").into()).inc();
        self.submission_seconds.observe(time.as_secs_f64());
        self.submission_jobs.inc_by(jobs as u64);
    }

    /// A query of the pool has ended; `error` is its kind.
    pub fn look(&self, time: Duration, error: Option<&'static str>) {
        self.looks.get_or_create(&error.unwrap_or("ok").into()).inc();
        self.look_seconds.observe(time.as_secs_f64());
    }

    /// All of them in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
