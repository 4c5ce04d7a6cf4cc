//! The data folder's disk is full for a while: what was accepted waits, and what ended is fetched later.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, host, on_bed, until};

/// Jobs in the pool end and others come while there is no room for so long.
const FULL: Duration = Duration::from_secs(20);

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_full_disk_costs_nothing_but_time() {
    on_bed(async |bed: &mut Bed| {
        let disk = bed.spawn_on_a_disk_of("32m");
        bed.until_ready().await;
        let ends =
            bed.apply(host("ends", &(bed.gate("go") + "head -c 3000000 /dev/zero > out; exit 4"))).await;
        bed.until_phase(&ends, Phase::Running).await;

        fill(&disk.join("fill"));
        let comes = bed.apply(host("comes", "echo came")).await;
        bed.open("go");
        bed.until_queued(&ends, 4, 1).await;
        let began = Instant::now();
        until("some time to pass", async || {
            bed.assert_alive();
            assert_eq!(bed.get("/readyz").await.unwrap().code, 200);
            let passed = began.elapsed();
            if passed > FULL { Ok(()) } else { Err(format!("{passed:?}")) }
        })
        .await;
        assert_eq!(bed.queued(&ends).await.len(), 1, "its outputs are nowhere else");
        let waits = bed.status(&comes).await;
        assert!(waits.completion_time.is_none(), "{waits:?}");
        let log = bed.log();
        assert!(log.contains("full") || log.contains("No space left"), "{log}");

        fs::remove_file(disk.join("fill")).unwrap();
        let status = bed.until_phase(&ends, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 4"), "{:?}", status.message);
        bed.until_phase(&comes, Phase::Succeeded).await;
        let status = bed.until_status(&ends, "outputs", |status| status.outputs.is_some()).await;
        bed.until_queue_empty().await;
        let seen = PathBuf::from(status.outputs.unwrap());
        let out = disk.join(seen.strip_prefix(bed.data()).unwrap()).join("out");
        assert_eq!(fs::metadata(&out).unwrap().len(), 3_000_000);
        bed.assert_all_committed_once(&[(&ends, 1), (&comes, 1)]).await;
    })
    .await;
}

/// Takes all the room that there is.
fn fill(path: &PathBuf) {
    let (mut file, mut piece) = (File::create(path).unwrap(), 1 << 20);
    while piece > 0 {
        match file.write(&vec![0; piece]) {
            Ok(_) => {}
            Err(why) if why.kind() == ErrorKind::StorageFull => piece /= 2,
            Err(why) => panic!("{why}"),
        }
    }
}
