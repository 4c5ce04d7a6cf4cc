//! What containers can do to the files of their job.

use super::values::trouble::SPY;
use super::{code, create, ended, with_endpoint};
use crate::client::dialect::Opts;
use crate::client::pods::{container, pod};
use crate::harness::{Bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn neither_job_nor_key_nor_result_are_in_reach_of_a_container() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let uid =
            create(kubelet, &pod("spy", &[], &[container("main", "busybox", &["sh", "-c", SPY])])).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        // The end is its own, whatever it wrote.
        assert_eq!(code(&answer, "main"), (3, "Error".to_owned()));
        let seen = until("the log", async || {
            let seen = kubelet.log(&uid, "main", &Opts::default()).await;
            if seen.contains("PATH=") { Ok(seen) } else { Err(seen) }
        })
        .await;
        for hidden in ["found /", "htc-sender\nrun", "htc-sender\njob", "_CONDOR_"] {
            assert!(!seen.contains(hidden), "{hidden:?}: {seen}");
        }
    })
    .await;
}
