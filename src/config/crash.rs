//! Crash points: named places between two durable or external acts at which a test lets the
//! operator die. In a release they are nothing at all.

/// Aborts the process here when a test asked for it by `HTC_CRASH_POINT=<name>`, or
/// `<name>:<n>` for the n-th time that the point is passed.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::config::crash::pass($name);
    };
}

/// All crash points, in the order in which the life of a job passes them.
pub const POINTS: &[&str] = &[
    "finalizer-set",
    "wish-durable",
    "inherited-durable",
    "intent-durable",
    "submit-files-written",
    "submit-tool-started",
    "submit-id-read",
    "submit-id-durable",
    "submit-tool-ended",
    "settle-before-durable",
    "settle-durable",
    "origin-durable",
    "unstaged-removed",
    "report-durable",
    "end-durable",
    "worker-fault-durable",
    "spent-forgotten",
    "outputs-fetched",
    "outputs-durable",
    "status-written",
    "published-durable",
    "acknowledged",
    "spent-acknowledged",
    "workload-acknowledged",
    "removed",
    "copies-removed",
    "outputs-removed",
    "outputs-collected",
    "gone-durable",
    "finalizer-removed",
    "store-before-commit",
    "store-after-commit",
];

/// What [`crash_point!`] does in a debug build.
#[cfg(debug_assertions)]
pub fn pass(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let wanted = std::env::var("HTC_CRASH_POINT").ok()?;
        Some(match wanted.split_once(':') {
            Some((name, n)) => (name.to_owned(), n.parse().unwrap_or(1)),
            None => (wanted, 1),
        })
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);

    debug_assert!(POINTS.contains(&name), "{name} is not in the list of crash points");
    if let Some((wanted, n)) = &*WANTED
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        eprintln!("crash point {name}");
        std::process::abort();
    }
}
