//! Two operators with the same instance id, each with a data folder of its own: one of them acts.

use std::fs::{self, File};
use std::path::PathBuf;

use htc_operator::htcjob::types::Phase;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::harness::{Bed, host, on_bed, until};
use crate::interlink::living::free_port;

const REFUSES: &str = "another operator of this instance id runs";
const WAITS: &str = "waiting whether the operator that holds the lease lives";

/// A second operator, with what it writes.
struct Second {
    log: PathBuf,
    health: String,
    process: Child,
}

impl Second {
    fn start(bed: &Bed) -> Second {
        let log = bed.folder.join("second.log");
        let health = format!("127.0.0.1:{}", free_port());
        let mut command: Command = bed.command(&["serve"]);
        command
            .env("HTC_DATA_DIR", bed.folder.join("second"))
            .env("HTC_EVENTS_LISTEN", format!("127.0.0.1:{}", free_port()))
            .env("HTC_HEALTH_LISTEN", &health)
            .stderr(File::create(&log).unwrap())
            .stdout(File::create(bed.folder.join("second.out")).unwrap())
            .kill_on_drop(true);
        Second { log, health, process: command.spawn().unwrap() }
    }

    fn log(&self) -> String {
        let out = fs::read_to_string(self.log.with_extension("out")).unwrap_or_default();
        fs::read_to_string(&self.log).unwrap_or_default() + &out
    }

    async fn until_refused(&mut self) {
        until("the second operator to end", async || match self.process.try_wait().unwrap() {
            Some(status) if !status.success() => Ok(()),
            other => Err(format!("{other:?}: {}", self.log())),
        })
        .await;
        assert!(self.log().contains(REFUSES), "{}", self.log());
    }

    async fn until_ready(&mut self, bed: &Bed) {
        let url = format!("http://{}/readyz", self.health);
        until("the second operator to be ready", async || {
            let answer = bed.http.get(&url).send().await.map_err(|e| format!("{e}: {}", self.log()))?;
            if answer.status() == 200 { Ok(()) } else { Err(self.log()) }
        })
        .await;
    }

    /// Ends it in an orderly way.
    async fn terminate(mut self) {
        let id = self.process.id().unwrap().cast_signed();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        self.process.wait().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_second_operator_of_the_same_instance_id_ends_and_nothing_is_done_twice() {
    on_bed(async |bed: &mut Bed| {
        bed.start().await;
        let mut second = Second::start(bed);
        let job = bed.apply(host("job", "echo once")).await;
        second.until_refused().await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.metric("htc_lease_held").await, 1);

        // The same operator again, as after a crash, waits for nobody.
        bed.kill().await;
        bed.start().await;
        // Nor does another one after an orderly end.
        bed.signal(Signal::TERM);
        assert!(bed.ended().await.success(), "{}", bed.log());
        let mut second = Second::start(bed);
        second.until_ready(bed).await;
        assert!(!bed.log().contains(WAITS) && !second.log().contains(WAITS), "{}", second.log());
        bed.spawn();
        assert!(!bed.ended().await.success() && bed.log().contains(REFUSES), "{}", bed.log());
        second.terminate().await;

        bed.start().await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_operator_that_slept_ends_when_another_has_taken_its_place() {
    on_bed(async |bed: &mut Bed| {
        bed.start().await;
        bed.signal(Signal::STOP);
        let mut second = Second::start(bed);
        second.until_ready(bed).await;
        assert!(second.log().contains(WAITS), "{}", second.log());
        bed.signal(Signal::CONT);
        assert!(!bed.ended().await.success() && bed.log().contains(REFUSES), "{}", bed.log());
        let job = bed.apply(host("job", "echo once")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
        second.terminate().await;
    })
    .await;
}
