//! A pull that waits for another one, or for too long; none of these starts apptainer.

use std::sync::mpsc::{Receiver, channel};

use super::super::sif;
use super::*;

const IMAGE: &str = "docker://reg.example/x";

struct Worker {
    /// Removed at the end.
    _scratch: tempfile::TempDir,
    means: Means,
    events: Receiver<Event>,
}

impl Worker {
    fn new() -> Worker {
        let scratch = tempfile::tempdir().unwrap();
        let (sender, events) = channel();
        let store = Store::of_job(scratch.path().join("images"));
        let means = Means {
            scratch: scratch.path().to_owned(),
            insecure_registries: Vec::new(),
            logins: Vec::new(),
            store: store.clone(),
            of_job: store,
            events: sender,
        };
        Worker { _scratch: scratch, means, events }
    }

    /// Another job pulls while this is held.
    fn lock(&self) -> File {
        self.means.store.try_lock(&store::name(IMAGE, None)).unwrap().unwrap()
    }

    fn pull(&self) {
        let name = store::name(IMAGE, None);
        fs::write(self.means.store.part(&name), sif::image(&[])).unwrap();
        self.means.store.keep(&name).unwrap();
    }

    fn begin(&self, policy: Pull) -> Pulling {
        Pulling::begin(0, IMAGE, policy, &self.means)
    }
}

#[test]
fn whoever_waits_for_another_job_takes_what_that_one_pulled() {
    for policy in [Pull::IfNotPresent, Pull::Always] {
        let worker = Worker::new();
        let lock = worker.lock();
        let mut pulling = worker.begin(policy);
        assert!(!pulling.is_over());
        worker.pull();
        drop(lock);
        let Ok(Event::ImageLocked(0, lock)) = worker.events.recv() else { panic!("no lock") };
        pulling.locked(lock, &worker.means);
        assert!(matches!(pulling.outcome(), Some(Ok(_))), "{policy:?}");
    }
}

#[test]
fn an_image_that_is_here_is_compared_only_where_that_is_asked_for() {
    let worker = Worker::new();
    drop(worker.lock());
    worker.pull();
    for policy in [Pull::IfNotPresent, Pull::Never] {
        assert!(matches!(worker.begin(policy).outcome(), Some(Ok(_))), "{policy:?}");
    }
    let _lock = worker.lock();
    assert!(!worker.begin(Pull::Always).is_over());
}

#[test]
fn what_takes_too_long_is_given_up() {
    let worker = Worker::new();
    let _lock = worker.lock();
    let mut pulling = worker.begin(Pull::IfNotPresent);
    assert!(pulling.wakes_at() > Instant::now() + DEADLINE / 2);
    pulling.wake(Instant::now(), &worker.means);
    assert!(!pulling.is_over());
    pulling.wake(Instant::now() + DEADLINE, &worker.means);
    let message = "docker://reg.example/x could not be pulled in 1 h".to_owned();
    let failure = pulling.outcome().unwrap().unwrap_err();
    assert_eq!(failure, Failure { reason: "ErrImagePull", message, is_workers: false });
}

#[test]
fn what_shall_never_be_pulled_and_is_not_here_cannot_run() {
    let failure = Worker::new().begin(Pull::Never).outcome().unwrap().unwrap_err();
    assert_eq!(failure.reason, "ErrImageNeverPull");
}
