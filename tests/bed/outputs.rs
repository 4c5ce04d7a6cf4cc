//! What a job leaves comes home, the status says where, and nobody brings home too much.

use htc_operator::htcjob::types::Phase;
use serde_json::Value;

use crate::harness::{Bed, Job, host, image, on_bed, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_status_says_where_the_outputs_are_and_there_they_are() {
    with_operator(async |bed| {
        let one = bed.apply(host("one", "mkdir sub; echo deep > sub/file; printf '\\0\\377' > bytes")).await;
        let mut two = host("two", "echo $1 > mine");
        two.spec.queue = Some(2);
        let two = bed.apply(two).await;
        bed.until_phase(&one, Phase::Succeeded).await;
        let status = bed.until_status(&one, "outputs", |status| status.outputs.is_some()).await;
        let folder = std::path::PathBuf::from(status.outputs.unwrap());
        assert_eq!(std::fs::read_to_string(folder.join("sub/file")).unwrap(), "deep\n");
        assert_eq!(std::fs::read(folder.join("bytes")).unwrap(), [0, 255]);
        bed.until_phase(&two, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        let status = bed.until_status(&two, "outputs", |status| status.outputs.is_some()).await;
        let all = std::path::PathBuf::from(status.outputs.unwrap());
        for index in 0..2 {
            let mine = std::fs::read_to_string(all.join(format!("{index}.0.0/work/mine"))).unwrap();
            assert_eq!(mine, format!("{index}\n"));
        }
        bed.delete(&one).await;
        bed.until_gone(&one).await;
        assert!(!folder.exists(), "the folder goes with its HTCJob");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_that_brings_too_much_is_held_with_code_33() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_MAX_OUTPUT_MB", Some("1"));
        bed.start().await;
        let fits = bed.apply(host("fits", "head -c 500000 /dev/urandom > some")).await;
        let large = bed.apply(host("large", "head -c 3000000 /dev/urandom > much")).await;
        bed.until_phase(&fits, Phase::Succeeded).await;
        let status = bed.until_phase(&large, Phase::Held).await;
        let message = status.message.unwrap();
        assert!(message.contains("33"), "{message}");
        let rows = jobs(bed, &[&format!("{}/large", bed.namespace)]).await;
        assert_eq!(
            (&rows[0]["state"], &rows[0]["reason"]),
            (&"Held".into(), &"MaxTransferOutputSizeExceeded".into()),
            "{rows:?}"
        );
    })
    .await;
}

/// Whatever hurts HTCondor's starter, or makes it bring what is not the job's. The word is a file of the worker.
const MESS: &str = "
echo result > result
mkfifo fifo
ln -s SECRET secret
ln -s /proc/self/environ environ
ln -s no-such dangling
ln -s result good
mkdir closed
echo hidden > closed/$'new\\nline\\e[31m'
chmod 0 closed/* closed
";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_leaves_a_mess_ends_once_and_brings_home_only_what_is_its_own() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_MAX_OUTPUT_FILES", Some("200"));
        bed.start().await;
        let secret = bed.folder.join("secret");
        std::fs::write(&secret, "of the worker").unwrap();
        let mess = MESS.replace("SECRET", secret.to_str().unwrap());
        let deep =
            "echo result > result; for n in $(seq 150); do mkdir $(printf 'd%.0s' {1..250}); cd d*; done";
        let outside = bed.apply(host("outside", &mess)).await;
        let inside = bed.apply(image("centos", "inside", &mess)).await;
        let deep = bed.apply(host("deep", deep)).await;
        let many = bed.apply(host("many", "touch $(seq 300)")).await;
        for job in [&outside, &inside] {
            let status = bed.until_phase(job, Phase::Succeeded).await;
            let message = status.message.unwrap();
            for part in
                ["fifo (a FIFO)", "secret (a link that leads out", "dangling (a link that leads nowhere)"]
            {
                assert!(message.contains(part), "{message}");
            }
            assert!(bed.log_of(job).await.contains("left out of the outputs"));
            let folder = home(bed, job).await;
            let mut names: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["closed", "good", "result"]);
            let hidden = std::fs::read_to_string(folder.join("closed/new\nline\u{1b}[31m")).unwrap();
            assert_eq!(hidden, "hidden\n");
        }
        for (job, words) in [(&deep, "paths of more than 64 levels"), (&many, "more than 200 files")] {
            let status = bed.until_phase(job, Phase::Failed).await;
            assert!(status.message.as_ref().unwrap().contains(words), "{status:#?}");
        }
        assert_eq!(std::fs::read_to_string(home(bed, &deep).await.join("result")).unwrap(), "result\n");
        assert_eq!(std::fs::read_dir(home(bed, &many).await).unwrap().count(), 0);
        bed.until_queue_empty().await;
        for job in [&outside, &inside, &deep, &many] {
            bed.assert_committed_once(job, 1).await;
            let rows = jobs(bed, &[&format!("{}/{}", bed.namespace, job.name)]).await;
            assert_eq!(rows[0]["starts"], 1, "{rows:?}");
        }
    })
    .await;
}

/// Where the outputs are, once they have come.
async fn home(bed: &Bed, job: &Job) -> std::path::PathBuf {
    bed.until_status(job, "outputs", |status| status.outputs.is_some()).await.outputs.unwrap().into()
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn jobs_lists_every_htcjob_and_every_copy() {
    with_operator(async |bed| {
        let mut many = host("many", &(bed.gate("go") + "exit $1"));
        many.spec.queue = Some(3);
        let many = bed.apply(many).await;
        let one = bed.apply(host("one", "true")).await;
        bed.until_phase(&one, Phase::Succeeded).await;
        bed.until_queued(&many, 2, 3).await;
        bed.until_phase(&many, Phase::Running).await;
        let objects = jobs(bed, &[]).await;
        let words = |row: &Value| format!("{} {} {}", row["name"], row["phase"], row["copies"]);
        let told: Vec<String> = objects.iter().map(words).collect();
        assert_eq!(told, ["\"many\" \"Running\" 3", "\"one\" \"Succeeded\" 1"]);
        bed.open("go");
        bed.until_phase(&many, Phase::Failed).await;
        let rows = jobs(bed, &[&format!("{}/many", bed.namespace)]).await;
        let codes: Vec<&Value> = rows.iter().map(|row| &row["exitCode"]).collect();
        assert_eq!(codes, [0, 1, 2]);
        let failed = jobs(bed, &["--state", "failed", "-l", "1"]).await;
        assert_eq!((failed.len(), &failed[0]["index"]), (1, &Value::from(1)));
        let table = bed.command(&["jobs", "-o", "wide", &bed.namespace]).output().await.unwrap();
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.starts_with("NAMESPACE") && table.lines().count() == 3, "{table}");
    })
    .await;
}

/// The items of `htc-operator jobs -o json`.
async fn jobs(bed: &Bed, more: &[&str]) -> Vec<Value> {
    let output = bed.command(&[&["jobs", "-o", "json"], more].concat()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    table["items"].as_array().unwrap().clone()
}
