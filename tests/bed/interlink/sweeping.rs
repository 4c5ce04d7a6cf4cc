//! Two hundred pods, swept as a released virtual kubelet does it: one request per pod, one after the other.

use std::collections::BTreeSet;

use super::{committed, kubelet, quick, with_endpoint};
use crate::client::kubelet::{PATIENCE, VirtualKubelet};
use crate::harness::Bed;

const PODS: usize = 200;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn two_hundred_pods_end_well_in_sequential_sweeps() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let mut uids = BTreeSet::new();
        for n in 0..PODS {
            uids.insert(kubelet.create(&quick(&format!("pod-{n}"), "true")).await.unwrap().pod_uid);
        }
        let began = std::time::Instant::now();
        let mut sweeps = 0;
        // As long as any ends, the pool is only slow.
        let (mut over, mut since) = (0, std::time::Instant::now());
        while over < PODS {
            kubelet.sweep().await; // WIRE 1.2, 3.4: the client judges each answer
            sweeps += 1;
            let now = ended(&kubelet);
            if now > over {
                (over, since) = (now, std::time::Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "{over} of {PODS} are over");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        eprintln!("{PODS} pods, {sweeps} sweeps, {:?}", began.elapsed());
        let phases: BTreeSet<&str> = kubelet.pods.values().map(|held| held.copy.phase.as_str()).collect();
        assert_eq!(phases, BTreeSet::from(["Succeeded"]));
        bed.until_queue_empty().await;
        let jobs = committed(bed).await;
        assert_eq!(jobs.len(), PODS, "one cluster.proc per UID");
        assert_eq!(jobs.into_iter().map(|(uid, _)| uid).collect::<BTreeSet<_>>(), uids);
    })
    .await;
}

fn ended(kubelet: &VirtualKubelet) -> usize {
    kubelet.pods.values().filter(|held| held.copy.is_over()).count()
}
