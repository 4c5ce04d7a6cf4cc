//! The line through the house: one HTCJob from `kubectl apply` to its log, its files and its end.

use htc_operator::htcjob::types::Phase;
use rusqlite::{Connection, OpenFlags};

use crate::harness::{Job, example, kubectl, until, with_operator};

const ZERO: &str = include_str!("../../examples/retcode/zero.yaml");
const NOT_ZERO: &str = include_str!("../../examples/retcode/notzero.yaml");
const QUEUE: &str = include_str!("../../examples/queue.yaml");
const PYTHON: &str = include_str!("../../examples/command/python.yaml");

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
async fn the_other_examples_do_what_they_say() {
    with_operator(async |bed| {
        let (queue, python) = (bed.apply(example(QUEUE)).await, bed.apply(example(PYTHON)).await);
        let bad = bed.apply(example(NOT_ZERO)).await;

        let status = bed.until_phase(&bad, Phase::Failed).await;
        assert_eq!(
            (status.failed, status.active, status.reason.as_deref()),
            (Some(1), Some(0), Some("Error"))
        );
        assert_eq!(bed.log_of(&bad).await, "B\n");

        bed.until_phase(&python, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&python).await, "Python 3, index 0\n");

        let status = bed.until_phase(&queue, Phase::Succeeded).await;
        assert_eq!(status.completed_indexes.as_deref(), Some("0-9"));
        for index in [0, 9] {
            assert_eq!(bed.logs(&queue, Some(index)).await.unwrap(), format!("index {index}\n").as_bytes());
        }
        let why = bed.logs(&queue, None).await.unwrap_err();
        assert!(why.contains("say which one"), "{why}");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&queue, 10).await;
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
            let arguments = ["get", "events.events.k8s.io", "-n", &bed.namespace, "-o", "json"];
            let events: serde_json::Value =
                serde_json::from_str(&kubectl(&arguments, "").await?).map_err(|e| e.to_string())?;
            let mut reasons: Vec<&str> =
                events["items"].as_array().unwrap().iter().filter_map(|e| e["reason"].as_str()).collect();
            reasons.sort_unstable();
            if reasons == ["Complete", "Submitted"] { Ok(()) } else { Err(format!("{reasons:?}")) }
        })
        .await;
    })
    .await;
}
