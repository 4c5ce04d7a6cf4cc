//! The waist: doors wish here and read here, workers make wishes true behind it. Nothing in this
//! interface knows Kubernetes.

pub mod board;
mod boot;
mod capacity;
mod credentials;
mod entries;
pub mod files;
mod gone;
mod inherited;
mod janitor;
mod job;
pub mod keys;
mod late;
pub mod logs;
mod look;
mod origin;
mod owner;
mod polls;
mod reports;
mod rest;
mod result;
mod retriever;
mod settled;
pub mod signing;
mod spent;
mod stage;
mod start;
mod submit;
mod table;
mod trouble;
mod view;
mod wish;
mod words;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use htc_core::workload::names::Uid;
use htc_core::workload::spec::{ImageSettings, Route};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What doors may know of the floors below.
pub use crate::condor::attributes::SiteAttributes;
pub use crate::condor::holds;
pub use crate::condor::options::parse as parse_submit_options;
use crate::condor::pool::Pool;
use crate::metrics::Metrics;
use crate::store::database::Database;
pub use crate::store::database::StoreError;
pub use crate::store::unreadable::Unreadable;
pub use crate::store::wishes::Want;
use board::Board;
pub use board::Obstacle;
pub use boot::Boot;
pub use capacity::Capacity;
use credentials::Credentials;
pub use gone::Awaited;
pub use inherited::{Heir, Inheritance, recorded};
use keys::MasterKeys;
use logs::mirror::Mirrors;
pub use logs::{LogError, LogOptions, Piece, Wanted};
pub use look::absence::Vanished;
use origin::Origin;
pub use polls::PollRefusal;
use polls::Polls;
pub use reports::Taken;
pub use settled::Settled;
pub use table::{Counts, IndexRow, JobRow, Troubles, WorkloadRow};
pub use view::{JobView, Outputs, Tracking, View};
pub use wish::{Wish, WishError};
pub use words::shortened;
pub use workers::WorkerFaults;

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Marks our jobs in the queue; two operators with one instance id would fight.
    pub instance: String,
    /// Holds the database, job folders and locks.
    pub data: PathBuf,
    /// The static in-job program.
    pub sender: PathBuf,
    /// Where jobs report to; without it HTCondor carries their reports, some time later.
    pub route: Option<Route>,
    /// Polls of running jobs that are held at the same time.
    pub polls: usize,
    /// How images get to the workers.
    pub images: ImageSettings,
    /// Seconds between two looks at the pool while work is under way.
    pub poll: Duration,
    /// How long a job may be missing in the queue before it is lost.
    pub lost_after: Duration,
    /// How long a job that HTCondor refuses is tried again before it ends.
    pub refused_after: Duration,
    /// Jobs in one call of `condor_submit`.
    pub max_jobs_per_submission: usize,
    /// Jobs in the queue at the same time.
    pub max_jobs_in_queue: usize,
    /// Jobs of one namespace in the queue at the same time.
    pub max_jobs_per_namespace: Option<usize>,
    /// MB of outputs of one namespace that have come home; where there are more, nothing of it is submitted.
    pub max_output_mb_per_namespace: Option<u64>,
    /// What workers of jobs with an image must meet, as an expression of ClassAds.
    pub worker_requirements: Option<String>,
    /// Whether jobs of all namespaces share the images that a worker keeps.
    pub image_cache_shared: bool,
    /// What a job may bring home, in MB; any amount without.
    pub max_output_mb: Option<u32>,
    /// How many files, folders and links a job may bring home.
    pub max_output_files: u32,
    /// How long HTCondor may answer without giving the outputs of a job before they are given up; as long as it
    /// has the job without.
    pub give_up_outputs: Option<Duration>,
    /// Whether the store is the only record of what was accepted. Where it is not, the outside objects tell
    /// what a store that was lost no longer knows.
    pub sole_record: bool,
    /// How long outputs are kept after the end of their workload; as long as it is wished without.
    pub keep_outputs: Option<Duration>,
}

/// A handle on the engine; clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    options: Options,
    pool: Pool,
    credentials: Credentials,
    store: Database,
    keys: Arc<MasterKeys>,
    metrics: Arc<Metrics>,
    board: Mutex<Board>,
    /// When the store was made, epoch seconds.
    born: i64,
    /// Where we live.
    boot: boot::Boot,
    /// Rings when something waits to be submitted, or may be again.
    submit_bell: Notify,
    /// Rings when the pool should be looked at now.
    look_bell: Notify,
    /// Rings when outputs wait to be fetched.
    fetch_bell: Notify,
    /// Rings when a job is missing.
    missing_bell: Notify,
    /// What looks ask to be done in the pool.
    chores: look::chores::Chores,
    /// Logs of running jobs that are being read.
    mirrors: Mirrors,
    /// What the pool has.
    capacity: capacity::Looks,
    /// Running jobs that can be asked for something.
    polls: Polls,
    /// Says which workload has changed.
    changes: broadcast::Sender<Uid>,
}

/// What of the database in this data folder cannot be read; an operator may run with it.
pub fn unreadable(data: &Path) -> Result<Vec<Unreadable>, StoreError> {
    crate::store::inspect::unreadable(&data.join(DATABASE))
}

/// Whether there is room in this data folder, as the operator that runs with it has found.
pub fn has_room(data: &Path) -> bool {
    crate::store::ballast::is_there(&data.join(DATABASE))
}

/// The file in the data folder.
const DATABASE: &str = "htcjobs.db";

impl Engine {
    /// Opens the store and rebuilds the board from it. Nothing runs yet.
    pub async fn open(
        options: Options,
        pool: Pool,
        keys: impl Into<Arc<MasterKeys>>,
        metrics: Arc<Metrics>,
    ) -> Result<Engine, StoreError> {
        let store = Database::open(&options.data.join(DATABASE))?;
        let boot = boot::Boot::this();
        let (board, born) = start::load(&store, &options.data, &boot).await?;
        metrics.unreadable_rows.set(i64::try_from(board.unreadable.len()).unwrap_or(i64::MAX));
        let board = start::tidy(&options.data, board).await;
        let polls = Polls::new(options.polls);
        let inner = Arc::new(Inner {
            options,
            credentials: Credentials::of(&pool.environment),
            pool,
            store,
            keys: keys.into(),
            metrics,
            board: Mutex::new(board),
            born,
            boot,
            submit_bell: Notify::new(),
            look_bell: Notify::new(),
            fetch_bell: Notify::new(),
            missing_bell: Notify::new(),
            chores: look::chores::Chores::default(),
            mirrors: Mirrors::default(),
            capacity: capacity::Looks::default(),
            polls,
            changes: broadcast::channel(4096).0,
        });
        inner.forget_all_spent().await?;
        let engine = Engine(inner);
        engine.compare_keys().await?;
        Ok(engine)
    }

    /// Starts the workers; they end when `stop` is cancelled. One that ends before, or panics,
    /// cancels `broken`: without it the operator would only look alive.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken, broken: &CancellationToken) {
        let worker = |name: &'static str, work: BoxFuture<'static, ()>| {
            let (stop, broken) = (stop.clone(), broken.clone());
            tasks.spawn(async move {
                let work = tokio::spawn(work);
                let abort = work.abort_handle();
                tokio::select! {
                    // The submitter ends by itself, after the submission that is under way.
                    () = stop.cancelled(), if name != "submitter" => abort.abort(),
                    _ = work => if !stop.is_cancelled() {
                        tracing::error!(name, "a worker has ended by itself");
                        broken.cancel();
                    },
                }
            });
        };
        worker("tracker", Box::pin(look::tracker::work(self.0.clone())));
        worker("historian", Box::pin(look::history::work(self.0.clone())));
        worker("chores", Box::pin(look::chores::work(self.0.clone())));
        worker("retriever", Box::pin(retriever::work(self.0.clone())));
        worker("janitor", Box::pin(janitor::work(self.0.clone())));
        worker("capacity", Box::pin(capacity::work(self.0.clone())));
        worker("submitter", Box::pin(submit::work(self.0.clone(), stop.clone())));
    }

    /// Whether a complete answer of this life, of the queue that the store was kept for, has been taken in:
    /// before, absence means nothing.
    pub fn is_ready(&self) -> bool {
        let board = self.0.board();
        board.merged && board.origin == Origin::Same
    }

    /// What a full data folder means, while it is full.
    pub fn no_room(&self) -> Option<&'static str> {
        self.0.store.is_full().then_some(trouble::FULL)
    }

    /// Says which workloads change from now on. A reader that falls behind must look at all.
    pub fn changes(&self) -> broadcast::Receiver<Uid> {
        self.0.changes.subscribe()
    }
}

impl Inner {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("no thread panics while it holds the board")
    }

    fn ring(&self, uids: impl IntoIterator<Item = Uid>) {
        for uid in uids {
            // Nobody listens: no door is open yet.
            let _ = self.changes.send(uid);
        }
    }
}
