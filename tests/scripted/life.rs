//! An engine for tests: one life of it, from opening the store to the end of its workers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Image, Program, Pull};
use htc_core::workload::names::Uid;
use htc_core::workload::progress::{Outcome, Progress};
use htc_core::workload::spec::ImageSettings;
use htc_operator::condor::pool::Pool;
use htc_operator::engine::files::make_folder;
use htc_operator::engine::keys::MasterKeys;
use htc_operator::engine::{Engine, Options, SiteAttributes, View, Want, Wish, WishError};
use htc_operator::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pool::Scripted;

/// The instance of all these tests.
pub const INSTANCE: &str = "test-instance";

/// The door that wishes here.
pub const DOOR: &str = "test";

/// How long a test waits for what must happen: other work may load the machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The options of most tests.
pub fn options(data: &Path) -> Options {
    Options {
        images: ImageSettings::default(),
        instance: INSTANCE.to_owned(),
        data: data.to_owned(),
        sender: "/bin/true".into(),
        route: None,
        polls: 100,
        poll: Duration::from_millis(100),
        sole_record: false,
        lost_after: Duration::from_secs(1),
        refused_after: Duration::ZERO,
        max_jobs_per_submission: 200,
        max_jobs_in_queue: 5_000,
        max_jobs_per_namespace: None,
        max_output_mb_per_namespace: None,
        worker_requirements: None,
        image_cache_shared: false,
        max_output_mb: Some(1024),
        max_output_files: 20_000,
        give_up_outputs: None,
        keep_outputs: None,
    }
}

/// A UID that is one.
pub fn uid(text: &str) -> Uid {
    text.parse().unwrap_or_else(|why| panic!("{why}"))
}

/// The wish that a workload of so many copies runs.
pub fn wish(name: &str, indices: u32) -> Wish {
    let main = Container {
        name: "main".to_owned(),
        image: Image::Host,
        pull: Pull::IfNotPresent,
        program: Program::Words(vec!["true".into()]),
        env: vec![],
        working_dir: None,
        mounts: vec![],
        termination_message: None,
    };
    let workload = Workload {
        name: name.to_owned(),
        indices,
        init_containers: vec![],
        containers: vec![main],
        volumes: vec![],
        grace_seconds: 30,
        folder_variable: None,
        restart_after_eviction: true,
        deadline_seconds: None,
        hostname: None,
        registries: vec![],
        image_paths: vec![],
        submit: vec![],
    };
    Wish {
        uid: uid(name),
        door: DOOR,
        namespace: "default".to_owned(),
        name: name.to_owned(),
        workload,
        seen_before: false,
        settled: vec![],
        owner: None,
    }
}

/// What a job came to, for each index, in order; none where it has not ended.
pub fn outcomes(view: &View) -> Vec<Option<Outcome>> {
    view.jobs.iter().map(|job| job.progress.end().map(|end| end.outcome)).collect()
}

/// A running engine.
pub struct Life {
    /// The engine.
    pub engine: Engine,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
    broken: CancellationToken,
}

impl Life {
    /// A life in this pool, with its data beside the pool's own.
    pub async fn on(scripted: &Scripted) -> Life {
        Life::begin(options(&scripted.path().join("data")), scripted.pool()).await
    }

    /// Opens the store and starts the workers.
    pub async fn begin(options: Options, pool: Pool) -> Life {
        Life::judged(options, pool, &SiteAttributes::default()).await
    }

    /// The same, where a site says more about attributes.
    pub async fn judged(options: Options, pool: Pool, site: &SiteAttributes) -> Life {
        make_folder(&options.data).unwrap_or_else(|why| panic!("{why}"));
        let keys = MasterKeys::parse("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let keys = keys.unwrap_or_else(|why| panic!("{why}"));
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::open(options, pool, keys, metrics.clone()).await;
        let engine = engine.unwrap_or_else(|why| panic!("{why}"));
        engine.judge_again(DOOR, site);
        let tasks = TaskTracker::new();
        let (stop, broken) = (CancellationToken::new(), CancellationToken::new());
        engine.start(&tasks, &stop, &broken);
        Life { engine, metrics, tasks, stop, broken }
    }

    /// Opens a door: it takes every end as soon as it is known.
    pub fn open_door(&self) {
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(take_ends(engine)).await });
    }

    /// Wishes that so many copies run.
    pub async fn wish(&self, name: &str, indices: u32) {
        self.try_wish(wish(name, indices)).await.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Wishes something.
    pub async fn try_wish(&self, wish: Wish) -> Result<(), WishError> {
        self.engine.run(wish).await
    }

    /// Wishes that nothing of a workload is left.
    pub async fn gone(&self, name: &str) {
        self.engine.gone(&uid(name), DOOR).await.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Its metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// A metric's value, with its labels as in the text; 0 when it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// What is known of a workload.
    pub fn view(&self, name: &str) -> View {
        self.engine.view(&uid(name)).unwrap_or_else(|| panic!("nobody wished {name}"))
    }

    /// What is believed of an index.
    pub fn progress(&self, name: &str, index: u32) -> Option<Progress> {
        let view = self.view(name);
        view.jobs.into_iter().find(|job| job.index == index).map(|job| job.progress)
    }

    /// Waits until something is so of a workload, and gives the view in which it is.
    pub async fn until(&self, name: &str, what: &str, is_so: impl Fn(&View) -> bool) -> View {
        let started = Instant::now();
        loop {
            let view = self.view(name);
            if is_so(&view) {
                return view;
            }
            assert!(started.elapsed() < PATIENCE, "did not happen: {what}; {view:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all copies of a workload have ended; gives what they came to.
    pub async fn ends(&self, name: &str) -> Vec<Outcome> {
        let ended = |view: &View| view.waiting == 0 && outcomes(view).iter().all(Option::is_some);
        outcomes(&self.until(name, "all have ended", ended).await).into_iter().flatten().collect()
    }

    /// Waits until nothing is left of a workload.
    pub async fn is_gone(&self, name: &str) {
        self.until(name, "nothing is left", |view| view.want == Want::Tombstone).await;
    }

    /// Waits until a complete answer of this life has been taken in.
    pub async fn is_ready(&self) {
        let started = Instant::now();
        while !self.engine.is_ready() {
            assert!(started.elapsed() < PATIENCE, "the pool was not looked at");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until an index runs.
    pub async fn runs(&self, name: &str, index: u32) {
        let runs = |view: &View| {
            view.jobs.iter().any(|job| job.index == index && matches!(job.progress, Progress::Running { .. }))
        };
        self.until(name, "it runs", runs).await;
    }

    /// Waits until an index is in the queue with its files.
    pub async fn is_queued(&self, name: &str, index: u32) {
        let queued = |view: &View| {
            view.jobs.iter().any(|job| job.index == index && matches!(job.progress, Progress::Queued { .. }))
        };
        self.until(name, "it is queued", queued).await;
    }

    /// Ends the workers.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        assert!(!self.broken.is_cancelled(), "a worker ended by itself");
    }
}

async fn take_ends(engine: Engine) {
    loop {
        let began = Instant::now();
        for uid in engine.wished_by(DOOR) {
            let Some(view) = engine.view(&uid) else { continue };
            let ended = view.jobs.iter().filter(|job| job.progress.end().is_some()).map(|job| job.index);
            let ended: Vec<u32> = ended.collect();
            if let Err(why) = engine.published(&uid, &ended).await {
                panic!("{why}");
            }
        }
        // A bell would do for changes; that none is missed is another test's claim.
        // However much there is to look at, it is for the engine that the processor is here.
        tokio::time::sleep(Duration::from_millis(20).max(began.elapsed() * 10)).await;
    }
}
