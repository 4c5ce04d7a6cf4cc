//! The line through the house: one HTCJob from `kubectl apply` to its log, its files and its end.

use htc_operator::htcjob::types::Phase;
use rusqlite::{Connection, OpenFlags};

use crate::harness::{Job, example, kubectl, until, with_operator};

const ZERO: &str = include_str!("../../examples/retcode/zero.yaml");

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_first_example_runs_and_its_status_log_and_files_come_home() {
    with_operator(async |bed| {
        kubectl(&["apply", "-n", &bed.namespace, "-f", "-"], ZERO).await.unwrap();
        let object = bed.htcjobs().get("zero").await.unwrap();
        let uid = object.metadata.uid.clone().unwrap();
        let job = Job { namespace: bed.namespace.clone(), name: "zero".into(), uid: uid.clone() };

        let accepted = bed.until_status(&job, "accepted", |s| s.active.is_some()).await;
        assert_eq!((accepted.active, accepted.succeeded, accepted.failed), (Some(1), Some(0), Some(0)));
        assert_eq!(accepted.completions.as_deref(), Some("0/1"));
        assert!(accepted.start_time.is_some() && accepted.completion_time.is_none());

        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!((status.active, status.succeeded), (Some(0), Some(1)));
        assert_eq!((status.failed, status.held), (Some(0), Some(0)));
        assert_eq!(status.completions.as_deref(), Some("1/1"));
        assert_eq!(status.completed_indexes.as_deref(), Some("0"));
        assert_eq!((status.failed_indexes.as_deref(), status.attempts), (None, Some(1)));
        assert_eq!(status.jobid, [format!("{}.0", status.clusterid.unwrap())]);
        assert_eq!(status.jobids, status.jobid);
        assert_eq!(status.uniqid.as_deref(), Some(uid.as_str()));
        assert_eq!(status.observed_generation, object.metadata.generation);
        assert!(status.start_time.as_ref().unwrap().0 <= status.completion_time.as_ref().unwrap().0);
        let holds = |kind: &str| {
            let condition = status.conditions.iter().find(|c| c.type_ == kind);
            condition.map(|c| (c.status.clone(), !c.reason.is_empty()))
        };
        assert_eq!(holds("Submitted"), Some(("True".to_owned(), true)));
        assert_eq!(holds("Complete"), Some(("True".to_owned(), true)));
        assert_eq!(holds("Failed"), None);

        assert_eq!(bed.log_of(&job).await, "A\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;

        let database = bed.data().join("htcjobs.db");
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get(4)?))
        };
        let query = "SELECT htcjobName, jobId, status, tempDir, uniqid FROM htcjobs";
        let (name, id, number, folder, uniqid): (String, String, i64, String, String) =
            database.query_row(query, [], row).unwrap();
        assert_eq!((name.as_str(), &id, number, uniqid), ("zero", &status.jobid[0], 14, uid));
        assert!(std::path::Path::new(&folder).join("work").is_dir(), "{folder} has no work");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn kubernetes_is_told_of_each_transition_once() {
    with_operator(async |bed| {
        let job = bed.apply(example(ZERO)).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        until("the events", async || {
            let mut reasons: Vec<String> = bed.events(&job).await?.into_iter().map(|e| e.reason).collect();
            reasons.sort_unstable();
            if reasons == ["Complete", "Submitted"] { Ok(()) } else { Err(format!("{reasons:?}")) }
        })
        .await;
    })
    .await;
}
