//! Waiting, the only place where time passes: a question is asked again until its answer is good.

use std::time::{Duration, Instant};

/// Longer than anything takes on a loaded machine; only a failing test waits so long. A young store
/// submits nothing for two minutes that an earlier one may have known.
pub const LONG: Duration = Duration::from_secs(180);

const BETWEEN: Duration = Duration::from_millis(100);

/// Asks until the answer is `Ok`; the last refusal is the failure.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) if began.elapsed() > LONG => panic!("waited {LONG:?} for {what}: {why}"),
            Err(_) => tokio::time::sleep(BETWEEN).await,
        }
    }
}

/// Looks again and again for so long; each look must be good.
pub async fn throughout(time: Duration, mut look: impl AsyncFnMut()) {
    let began = Instant::now();
    while began.elapsed() < time {
        look().await;
        tokio::time::sleep(BETWEEN).await;
    }
}
