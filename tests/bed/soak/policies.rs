//! The samples of `docs/tenancy.md` for a pool's configuration: what they give, they give to jobs of the operator.

use htc_operator::htcjob::types::Phase;

use super::admin::{as_root, configure, with_schedd};
use crate::harness::{BOB, Bed, host, tool, until};

const GUIDE: &str = include_str!("../../../docs/tenancy.md");

/// The settings of the row for this purpose, for the operator's account and the bed's namespace.
fn sample(bed: &Bed, purpose: &str) -> String {
    let start = format!("| {purpose} |");
    let row = GUIDE.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
    let settings: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
    let account = std::env::var("USER").unwrap();
    settings.join("\n").replace("<operator's account>", &account).replace("physics", &bed.namespace) + "\n"
}

/// All daemons have these settings.
async fn set(bed: &Bed, settings: &str) {
    configure(bed, settings).await;
    as_root("condor_reconfig", &["-all"]).await.unwrap();
}

/// The other user's job says that it is of the bed's namespace.
async fn pretends(bed: &Bed) -> u64 {
    let text = format!(
        "executable = /bin/sleep\narguments = 1\ntransfer_executable = false\ninitialdir = /tmp\n\
         leave_in_queue = true\nMY.HTCOperatorInstance = \"{}\"\nMY.HTCNamespace = \"{}\"\nqueue\n",
        bed.id, bed.namespace
    );
    BOB.submit(bed, &text).await
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_namespace_is_charged_for_jobs_of_the_operator_only() {
    with_schedd(async |bed: &mut Bed| {
        set(bed, &sample(bed, "charge each namespace as a group of its own")).await;
        bed.start().await;
        let job = bed.apply(host("charged", &(bed.gate("go") + "true"))).await;
        bed.until_phase(&job, Phase::Running).await;
        let id = bed.status(&job).await.jobid.remove(0);
        let charged =
            until("condor_q", async || tool("condor_q", &[&id, "-af", "AccountingGroup"]).await).await;
        assert_eq!(charged.trim(), format!("k8s.{}.{}", bed.namespace, std::env::var("USER").unwrap()));
        assert_eq!(BOB.asks(pretends(bed).await, "AccountingGroup").await, "undefined");
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        set(bed, "").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_machine_that_is_kept_for_a_namespace_takes_jobs_of_the_operator_only() {
    with_schedd(async |bed: &mut Bed| {
        set(bed, &sample(bed, "keep a machine for one namespace")).await;
        bed.start().await;
        let his = pretends(bed).await;
        for name in ["one", "two"] {
            let job = bed.apply(host(name, "true")).await;
            bed.until_phase(&job, Phase::Succeeded).await;
        }
        assert_eq!(BOB.asks(his, "JobStatus").await, "1", "idle, though it came first");
        set(bed, "").await;
        until("his job to run elsewhere", async || match BOB.asks(his, "JobStatus").await {
            four if four == "4" => Ok(()),
            other => Err(other),
        })
        .await;
    })
    .await;
}
