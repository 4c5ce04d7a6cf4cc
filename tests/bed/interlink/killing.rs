//! `kill -9` around `/create`, on the real schedd.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{by_socket, committed, kubelet, quick, start};
use crate::client::dialect::Dialect;
use crate::client::pods::uid_of;
use crate::client::transport::Transport;
use crate::client::wire;
use crate::harness::{Bed, on_bed, until};

/// Pods in all; each has a kill of its own.
const PODS: usize = 200;
/// So many kills at least must come before the answer.
const UNANSWERED: usize = 50;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn two_hundred_pods_across_kills_are_two_hundred_jobs() {
    on_bed(async |bed: &mut Bed| {
        start(bed).await;
        let median = median_answer(bed).await;
        let pods: Vec<Value> = (0..PODS).map(|n| quick(&format!("pod-{n}"), "true")).collect();
        let (mut unanswered, mut numbers) = (0, Numbers(0x9e37_79b9_7f4a_7c15));
        for pod in &pods {
            // Uniform over 0 to the median time of an answer.
            let before = killed_after(bed, pod, median.mul_f64(numbers.next())).await;
            unanswered += usize::from(before.is_none());
            start(bed).await;
            let (uid, id) = bring(&by_socket(bed), pod).await.unwrap();
            let same = before.is_none_or(|before| before == (uid.clone(), id));
            assert!(same, "{uid} has another id after the crash");
        }
        eprintln!("{unanswered} of {PODS} kills before the answer; the median answer takes {median:?}");
        assert!(unanswered >= UNANSWERED, "only {unanswered} kills before an answer: this proves too little");
        let wished: BTreeSet<String> = pods.iter().map(|pod| uid_of(pod).to_owned()).collect();
        until("all to have a job", async || {
            let there: BTreeSet<String> = committed(bed).await.into_iter().map(|(uid, _)| uid).collect();
            let missing = wished.difference(&there).count();
            if missing == 0 { Ok(()) } else { Err(format!("{missing} have none")) }
        })
        .await;
        // The ends are told, so that the jobs leave.
        let mut kubelet = kubelet(bed);
        pods.iter().for_each(|pod| drop(kubelet.hold(pod)));
        until("all to end", async || {
            kubelet.sweep().await;
            let over = kubelet.pods.values().filter(|held| held.copy.phase == "Succeeded").count();
            if over == PODS { Ok(()) } else { Err(format!("{over} have")) }
        })
        .await;
        bed.until_queue_empty().await;
        let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (uid, id) in committed(bed).await.into_iter().filter(|(uid, _)| wished.contains(uid)) {
            jobs.entry(uid).or_default().push(id);
        }
        let not_one: Vec<_> = jobs.iter().filter(|(_, ids)| ids.len() != 1).collect();
        assert!(not_one.is_empty() && jobs.len() == PODS, "{} jobs, not one: {not_one:?}", jobs.len());
    })
    .await;
}

/// Kills the endpoint so long after a pod's `/create` has begun; gives the answer, if there was one.
async fn killed_after(bed: &mut Bed, pod: &Value, delay: Duration) -> Option<(String, String)> {
    // Connected before, so that only the endpoint's own time counts.
    let transport = by_socket(bed);
    transport.send(&Dialect::NEWEST.ping()).await.unwrap().success().unwrap();
    let kill = async {
        tokio::time::sleep(delay).await;
        bed.kill().await;
    };
    let (answer, ()) = futures::join!(bring(&transport, pod), kill);
    answer.ok()
}

/// A pod's `/create`: its UID and id, or that there was no answer.
async fn bring(transport: &Transport, pod: &Value) -> Result<(String, String), String> {
    let answer = transport.send(&Dialect::NEWEST.create(pod)).await?;
    // An answer that is there must be good.
    let made = wire::create_struct(answer.success().unwrap()).unwrap();
    assert!(made.pod_uid == uid_of(pod) && !made.pod_jid.is_empty(), "{made:?}");
    Ok((made.pod_uid, made.pod_jid))
}

/// The median time of an answer to the first `/create` after a start, as later.
async fn median_answer(bed: &mut Bed) -> Duration {
    let mut times = Vec::new();
    for n in 0..11 {
        bed.kill().await;
        start(bed).await;
        let transport = by_socket(bed);
        transport.send(&Dialect::NEWEST.ping()).await.unwrap().success().unwrap();
        let pod = quick(&format!("measured-{n}"), "true");
        let began = Instant::now();
        bring(&transport, &pod).await.unwrap();
        times.push(began.elapsed());
        transport.send(&Dialect::NEWEST.delete(&pod)).await.unwrap().success().unwrap();
    }
    times.sort();
    times[times.len() / 2]
}

/// Numbers between 0 and 1 that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
