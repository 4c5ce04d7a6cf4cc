//! What a container that has left its image writes about the end of its own job.

use super::{code, create, ended, job, with_endpoint};
use crate::client::pods::{container, pod, uid_of};
use crate::harness::Bed;

/// Kills the two processes of the job, which would write the truth.
const KILL: &str = r#"kill -9 $(sed -n 's/^PPid:\s*//p' /proc/$PPID/status) $PPID; sleep 1000"#;

/// Makes a last report of the job of this folder: all went well.
const FORGE: &str = r#"cd ..
key=$(sed -n 's/^HTCOperatorKey = "\(.*\)"/\1/p' .job.ad)
at=2030-01-01T00:00:00Z
forge() {
  printf '{"name":"x","namespace":"","jobid":null,"retcode":0,"key":"%s","start":1,"seq":99,' "$key"
  printf '"now":"%s","phase":"done","initContainers":[],"containers":[{"name":"main","state":' $at
  printf '{"terminated":{"exitCode":0,"signal":null,"reason":"Completed","message":"LIES'
  head -c $1 /dev/zero | tr '\0' x
  printf '","startedAt":"%s","finishedAt":"%s"}}}]}' $at $at
}
"#;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_result_that_a_script_has_forged_is_not_believed_and_fills_nothing() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let scripts = [
            ("forged", format!("{FORGE} forge 10 > result.json; {KILL}")),
            ("long", format!("{FORGE} forge 50000000 > result.json; {KILL}")),
            ("sparse", format!("cd ..; truncate -s 600M result.json; {KILL}")),
            ("link", format!("cd ..; ln -sf /etc/passwd result.json; {KILL}")),
        ];
        let pods = scripts
            .map(|(name, script)| pod(name, &[], &[container("main", "host", &["sh", "-c", &script])]));
        for pod in &pods {
            create(kubelet, pod).await;
        }
        for pod in &pods {
            let answer = ended(kubelet, uid_of(pod), "Failed").await;
            let told = format!("{answer:?}");
            assert!(told.len() < 5_000 && !told.contains("LIES"), "{told}");
            assert_eq!(code(&answer, "main").0, 137, "{told}");
            assert!(bed.kept_report(&job(pod)).is_none_or(|report| !report.is_final()), "{told}");
        }
        // They leave when their files are home.
        bed.until_queue_empty().await;
        let kept = std::fs::metadata(bed.data().join("htcjobs.db")).unwrap().len();
        assert!(kept < 4 << 20, "{kept} bytes of database");
        let most = bed.memory_at_most();
        assert!(most < 200 << 20, "{most} bytes of memory");
    })
    .await;
}
