//! The examples: each says what it shows, is right, and does what it says. Steps of Argo workflows run
//! here as Argo would run them: created, then judged by their conditions alone.

use std::fs;

use htc_operator::htcjob::Site;
use htc_operator::htcjob::translate::translate;
use htc_operator::htcjob::types::{HTCJob, Phase};
use kube::{CustomResourceExt, ResourceExt};
use serde_json::Value;

use crate::harness::{Bed, Job, example, files_below, kubectl, on_bed, until, with_operator};

const NOT_ZERO: &str = include_str!("../../examples/retcode/notzero.yaml");
const QUEUE: &str = include_str!("../../examples/queue.yaml");
const PYTHON: &str = include_str!("../../examples/command/python.yaml");
const CONDITIONS: &str = include_str!("../../examples/argo/conditions.yaml");
const HIGGS: &str = include_str!("../../examples/argo/higgs-tautau.yaml");

/// An HTCJob of an example, and what tells its end.
struct Step {
    manifest: String,
    success: String,
    failure: String,
}

impl Step {
    fn job(&self) -> HTCJob {
        example(&self.manifest)
    }
}

#[test]
fn every_example_says_what_it_shows() {
    for (file, text) in examples() {
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("# ") && first.split(' ').count() > 3, "{file}: {first}");
    }
}

#[test]
fn every_example_is_accepted() {
    for (file, text) in examples() {
        for step in steps(&text, &[]) {
            let job = step.job();
            translate(&job.spec, "default", &Site::default())
                .unwrap_or_else(|why| panic!("{file}: {}: {why}", job.spec.name));
        }
    }
}

#[test]
fn conditions_of_workflows_look_at_numbers_and_words_of_the_status() {
    let crd = serde_json::to_value(HTCJob::crd()).unwrap();
    let status =
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    for (file, text) in examples() {
        for Step { success, failure, .. } in steps(&text, &[]) {
            for (path, _, _) in terms(&success).chain(terms(&failure)) {
                let kind = &status[path.trim_start_matches("/status/")]["type"];
                assert!(kind == "integer" || kind == "string", "{file}: {path} is no flat scalar: {kind}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_api_server_takes_every_example() {
    on_bed(async |bed| {
        for (file, text) in examples() {
            for step in steps(&text, &[]) {
                let arguments = ["create", "--dry-run=server", "-n", &bed.namespace, "-f", "-"];
                let answer = kubectl(&arguments, &step.manifest).await;
                assert!(answer.is_ok(), "{file}: {answer:?}");
            }
        }
    })
    .await;
}

// R is not run: its image would be larger than all others of the bed together.
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
async fn conditions_tell_a_workflow_of_success_and_of_failure() {
    with_operator(async |bed| {
        let steps = steps(CONDITIONS, &[]);
        let [five, fails] = &steps[..] else { panic!("{} steps", steps.len()) };
        let (job, succeeded) = run(bed, five).await;
        assert!(succeeded);
        assert_eq!(bed.logs(&job, Some(4)).await.unwrap(), b"copy 4 of a-workflow\n");
        assert!(!run(bed, fails).await.1);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_analysis_finds_the_signal_step_by_step() {
    with_operator(async |bed| {
        // The bed's workers have no folder in which containers can hand files on.
        let folder = bed.shared_folder("tautau");
        let steps = steps(HIGGS, &[("image", "host"), ("folder", folder.to_str().unwrap())]);
        assert_eq!(steps.len(), 4);
        for step in &steps {
            let (job, succeeded) = run(bed, step).await;
            assert!(succeeded, "{}: {:?}", job.name, bed.logs(&job, None).await);
        }
        let fit: Value = serde_json::from_slice(&fs::read(folder.join("fit.json")).unwrap()).unwrap();
        let number = |name: &str| fit[name].as_f64().unwrap();
        assert!(number("low") < 1.2 && number("high") > 0.8 && number("significance") > 5.0, "{fit}");
        assert!(fs::read_to_string(folder.join("plot.svg")).unwrap().ends_with("</svg>"));
    })
    .await;
}

/// The examples of the project and the HTCJobs of its guide: file and text.
fn examples() -> Vec<(String, String)> {
    let mut found = files_below("examples");
    assert!(found.len() >= 7, "{found:?}");
    for file in files_below("docs").into_iter().filter(|(name, _)| name.ends_with(".md")) {
        let blocks = file.1.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let jobs = blocks.filter(|block| block.contains("kind: HTCJob"));
        found.extend(jobs.map(|block| (file.0.clone(), format!("# An HTCJob of the guide.\n{block}"))));
    }
    found
}

/// The HTCJobs of a file, in the order in which they run.
fn steps(text: &str, parameters: &[(&str, &str)]) -> Vec<Step> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let found = documents.iter().flat_map(|document| match document["kind"].as_str().unwrap() {
        "HTCJob" => vec![Step {
            manifest: text.to_owned(),
            success: "status.phase == Succeeded".to_owned(),
            failure: "status.phase == Failed".to_owned(),
        }],
        "Workflow" => steps_of_workflow(&document["spec"], parameters),
        other => panic!("a {other} among the examples"),
    });
    found.collect()
}

fn steps_of_workflow(spec: &Value, parameters: &[(&str, &str)]) -> Vec<Step> {
    let template = |name: &Value| {
        let mut all = list(&spec["templates"]);
        all.find(|template| template["name"] == *name).unwrap_or_else(|| panic!("no template {name}"))
    };
    let groups = list(&template(&spec["entrypoint"])["steps"]);
    let resources = groups.flat_map(list).map(|step| &template(&step["template"])["resource"]);
    let resources = resources.map(|resource| {
        assert_eq!(resource["action"], "create");
        let text = |name: &str| resource[name].as_str().unwrap().to_owned();
        let mut manifest = text("manifest").replace("{{workflow.name}}", "a-workflow");
        let defaults = list(&spec["arguments"]["parameters"])
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["value"].as_str().unwrap()));
        for (name, value) in parameters.iter().copied().chain(defaults) {
            manifest = manifest.replace(&format!("{{{{workflow.parameters.{name}}}}}"), value);
        }
        assert!(!manifest.contains("{{"), "a parameter that is not set: {manifest}");
        Step { manifest, success: text("successCondition"), failure: text("failureCondition") }
    });
    resources.collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Creates a step's HTCJob and waits until one of its conditions holds; whether it is the good one.
async fn run(bed: &Bed, step: &Step) -> (Job, bool) {
    let arguments = ["create", "-n", &bed.namespace, "-o", "json", "-f", "-"];
    let made: HTCJob = serde_json::from_str(&kubectl(&arguments, &step.manifest).await.unwrap()).unwrap();
    let job = Job { namespace: bed.namespace.clone(), name: made.name_any(), uid: made.uid().unwrap() };
    let succeeded = until(&job.name, async || {
        let object = serde_json::to_value(bed.object(&job).await.unwrap()).unwrap();
        match (holds(&step.success, &object), holds(&step.failure, &object)) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(object["status"].to_string()),
        }
    })
    .await;
    (job, succeeded)
}

/// Whether a condition, which has the form of a label selector, is true of an object.
fn holds(condition: &str, object: &Value) -> bool {
    terms(condition).all(|(path, operator, wanted)| match object.pointer(&path) {
        Some(Value::Number(number)) => {
            let (number, wanted) = (number.as_i64().unwrap(), wanted.parse().unwrap());
            match operator {
                "==" => number == wanted,
                ">" => number > wanted,
                _ => number < wanted,
            }
        }
        found => operator == "==" && found.and_then(Value::as_str) == Some(wanted),
    })
}

/// The terms of a condition: JSON pointer, operator, value. Other operators can be true of a status that
/// is not there yet.
fn terms(condition: &str) -> impl Iterator<Item = (String, &str, &str)> {
    condition.split(',').map(|term| {
        let words: Vec<&str> = term.split_whitespace().collect();
        let [path, operator @ ("==" | ">" | "<"), value] = words[..] else { panic!("{term}") };
        (format!("/{}", path.replace('.', "/")), operator, value)
    })
}
