//! `condor_submit -spool` of many jobs in one call: the description, and the tool while it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Image};
use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use htc_core::workload::report::RESULT_FILE;
use htc_core::workload::spec;
use sha2::{Digest, Sha256};

use super::ad::{ACK, INSTANCE, KEY, NAME, NAMESPACE, UID};
use super::cli::{Call, CallError, Running};
use super::pool::Pool;
use super::{expression, quote};
use crate::limits::{GRACE_MARGIN_SECONDS, KEPT_IN_QUEUE_SECONDS};

/// Stands for a name that is none.
const NO_WORD: &str = "-";

/// One job of a batch.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key.
    pub key: JobKey,
    /// Its folder, with `job.json` in it.
    pub folder: String,
    /// The outside object's namespace; empty where there is none.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// How it is to be treated.
    pub terms: Terms,
}

/// Two workloads with the same have the same shape.
pub type ShapeId = [u8; 32];

/// How a job is to be treated: the same for all copies of a workload.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Names of all its containers.
    pub containers: Vec<String>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Whether the pool may start it again after an eviction.
    pub restart_after_eviction: bool,
    /// Whether a container of it runs in an image.
    pub has_image: bool,
    /// The machines that it is kept from.
    pub passed_over: Option<PassedOver>,
    /// The user's submit commands, already checked.
    pub options: Vec<(String, String)>,
}

/// Machines that could not run a job, which is kept from them for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Their names.
    pub machines: Vec<String>,
    /// Until when, epoch seconds: where there are no others, one of them may do better then.
    pub until: i64,
}

impl PassedOver {
    fn expression(&self) -> String {
        let other = |machine: &String| format!("TARGET.Machine =!= {}", quote::string(machine));
        let others: Vec<String> = self.machines.iter().map(other).collect();
        format!("(({}) || time() >= {})", others.join(" && "), self.until)
    }
}

/// Why an expression of the site cannot be part of a job's requirements, as the end of a sentence.
pub fn check_requirements(text: &str) -> Result<(), String> {
    match quote::unfit_for_submit(text) {
        Some(why) => Err(why.to_owned()),
        None => expression::check(text),
    }
}

impl From<&Workload> for Terms {
    fn from(workload: &Workload) -> Terms {
        let containers = workload.init_containers.iter().chain(&workload.containers);
        let is_image = |container: &Container| matches!(container.image, Image::Apptainer(_));
        Terms {
            has_image: containers.clone().any(is_image),
            passed_over: None,
            containers: containers.map(|container| container.name.clone()).collect(),
            grace_seconds: workload.grace_seconds,
            restart_after_eviction: workload.restart_after_eviction,
            options: workload.submit.clone(),
        }
    }
}

impl Terms {
    fn commands(&self, of_images: Option<&str>) -> BTreeMap<String, String> {
        let Terms { containers, grace_seconds, restart_after_eviction, has_image, passed_over, options } =
            self;
        let mut commands = BTreeMap::new();
        let mut requirements: Vec<String> = Vec::new();
        if !restart_after_eviction {
            requirements.push("(NumJobStarts ?: 0) == 0".to_owned());
        }
        requirements.extend(of_images.filter(|_| *has_image).map(|text| format!("({text})")));
        requirements.extend(passed_over.as_ref().map(PassedOver::expression));
        for (name, value) in options {
            if name == "requirements" {
                requirements.push(format!("({value})"));
            } else {
                commands.insert(name.clone(), value.clone());
            }
        }
        if !requirements.is_empty() {
            commands.insert("requirements".to_owned(), requirements.join(" && "));
        }
        let mut outputs = vec!["work".to_owned()];
        for name in containers {
            outputs.extend([format!("log.{name}"), format!("log.{name}.prev")]);
        }
        // Last, so that it is proof of the others.
        outputs.push(RESULT_FILE.to_owned());
        commands.insert("transfer_output_files".to_owned(), outputs.join(","));
        commands.insert(
            "job_max_vacate_time".to_owned(),
            grace_seconds.saturating_add(GRACE_MARGIN_SECONDS).to_string(),
        );
        commands
    }

    /// What must be equal for two jobs to go in one submission: the commands, and the values of
    /// those that do not fit in a column of item data. `of_images` is what the site asks of the workers of jobs with
    /// an image.
    pub fn shape(&self, of_images: Option<&str>) -> BTreeMap<String, Option<String>> {
        let value = |value: String| (!fits_in_column(&value)).then_some(value);
        self.commands(of_images).into_iter().map(|(name, text)| (name, value(text))).collect()
    }

    /// The shape as a number: made once, and compared for all that waits.
    pub fn shape_id(&self) -> ShapeId {
        let mut hash = Sha256::new();
        // What the site asks is the same for all that it asks it of.
        hash.update([u8::from(self.has_image)]);
        for (name, value) in self.shape(None) {
            // No text has a NUL in it.
            hash.update([name.as_bytes(), &[0, u8::from(value.is_some())]].concat());
            hash.update([value.unwrap_or_default().as_bytes(), &[0]].concat());
        }
        hash.finalize().into()
    }
}

/// Item data is split at commas and white space (23.9 does not know the separator 0x1F that the
/// manual has), and a line that begins with `#` is skipped.
fn fits_in_column(value: &str) -> bool {
    let splits = |c: char| c == ',' || c == '#' || c.is_whitespace();
    !value.is_empty() && !value.contains(splits)
}

/// Whether a data folder can be named in our item data.
pub fn is_good_folder(path: &str) -> bool {
    path.starts_with('/') && fits_in_column(path) && quote::unfit_for_submit(path).is_none()
}

/// The submit description of a batch; all rows must have one shape. The rows become item data, so
/// row n is proc n.
pub fn description(
    instance: &str,
    sender: &Path,
    max_output_mb: Option<u32>,
    of_images: Option<&str>,
    rows: &[Row],
) -> String {
    let mut text = String::new();
    let mut command = |name: &str, value: &str| text.push_str(&format!("{name} = {value}\n"));
    command("universe", "vanilla");
    command("executable", &sender.display().to_string());
    command("arguments", "run");
    command("transfer_input_files", spec::FILE);
    command("output", "sender.out");
    command("error", "sender.out");
    command("should_transfer_files", "YES");
    command("when_to_transfer_output", "ON_EXIT");
    command("on_exit_remove", "true");
    command("want_graceful_removal", "true");
    command("getenv", "false");
    command("notification", "never");
    command(
        "leave_in_queue",
        &format!(
            "(JobStatus == 3 || JobStatus == 4) && {ACK} =!= true && \
             time() - EnteredCurrentStatus < {KEPT_IN_QUEUE_SECONDS}"
        ),
    );
    command(&format!("MY.{INSTANCE}"), &quote::string(instance));
    // One that brings more home is held by the pool, with code 33.
    if let Some(limit) = max_output_mb {
        command("max_transfer_output_mb", &limit.to_string());
    }
    command("initialdir", "$(dir)");
    command("batch_name", "$(batch)");
    command(&format!("MY.{UID}"), &quote::string("$(uid)"));
    command(&format!("MY.{KEY}"), &quote::string("$(key)"));
    // For the policies of the pool: who is behind a job.
    command(&format!("MY.{NAMESPACE}"), &quote::string("$(ns)"));
    command(&format!("MY.{NAME}"), &quote::string("$(object)"));
    let shape = rows.first().map(|row| row.terms.shape(of_images)).unwrap_or_default();
    let mut columns = vec![];
    for (n, (name, value)) in shape.iter().enumerate() {
        match value {
            Some(value) => command(name, value),
            None => {
                command(name, &format!("$(c{n})"));
                columns.push((format!("c{n}"), name));
            }
        }
    }
    let names: Vec<&str> = ["dir", "batch", "ns", "object", "uid", "key"]
        .into_iter()
        .chain(columns.iter().map(|(c, _)| c.as_str()))
        .collect();
    text.push_str(&format!("queue {} from (\n", names.join(", ")));
    for Row { key, folder, namespace, name, terms } in rows {
        let commands = terms.commands(of_images);
        let (name, batch) = (word(name), batch_name(namespace, name));
        text.push_str(&format!("{folder} {batch} {} {name} {} {key}", word(namespace), key.uid));
        for (_, name) in &columns {
            text.push_str(&format!(" {}", commands[*name]));
        }
        text.push('\n');
    }
    text.push_str(")\n");
    text
}

/// What people see in `condor_q`.
pub fn batch_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { word(name).to_owned() } else { format!("{}/{}", word(namespace), word(name)) }
}

/// A name of Kubernetes as a column; another text, or none, becomes what no object can be called.
fn word(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !text.is_empty() && text.chars().all(plain) { text } else { NO_WORD }
}

/// A `condor_submit` at work.
pub struct Submission(Running);

impl Submission {
    /// Starts the tool on a description file. `lock` is held by the tool as long as it lives, which is
    /// until `deadline` at most.
    pub fn start(
        pool: &Pool,
        description: &Path,
        lock: File,
        deadline: Duration,
    ) -> Result<Submission, CallError> {
        let arguments = ["-terse", "-spool", &description.display().to_string()].map(str::to_owned).to_vec();
        let call = Call { tool: "condor_submit", arguments, pool, deadline };
        Running::start(&call, Some(lock)).map(Submission)
    }

    /// The first id, which the tool prints after the commit and before it sends the files; `None`
    /// when it ends without one.
    pub async fn first_id(&mut self) -> Option<JobId> {
        let line = self.0.line().await;
        line.split(" - ").next()?.trim().parse().ok()
    }

    /// Waits for the end of the tool. An error is no proof that nothing was committed.
    pub async fn finish(self) -> Result<(), CallError> {
        self.0.finish().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(options: &[(&str, &str)]) -> Terms {
        Terms {
            containers: vec!["main".into()],
            grace_seconds: 30,
            restart_after_eviction: true,
            has_image: false,
            passed_over: None,
            options: options.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn jobs_share_a_submission_when_they_differ_only_in_plain_values() {
        let shape = |options: &[(&str, &str)]| terms(options).shape(None);
        assert_eq!(shape(&[("request_cpus", "1")]), shape(&[("request_cpus", "2")]));
        assert_ne!(shape(&[("request_cpus", "1")]), shape(&[]));
        assert_ne!(shape(&[("rank", "a + b")]), shape(&[("rank", "a - b")]));
        let id = |options: &[(&str, &str)]| terms(options).shape_id();
        assert_eq!(id(&[("request_cpus", "1")]), id(&[("request_cpus", "2")]));
        assert_ne!(id(&[("request_cpus", "1")]), id(&[]));
        assert_ne!(id(&[("rank", "a + b")]), id(&[("rank", "a - b")]));
    }

    #[test]
    fn requirements_of_the_site_the_user_and_passed_over_machines_must_all_be_met() {
        let requirements = |terms: &Terms, of_images| terms.commands(of_images).remove("requirements");
        let user = terms(&[("requirements", "a || b")]);
        let site = Some("HasSingularity =?= True || x");
        assert_eq!(requirements(&user, site).as_deref(), Some("(a || b)"), "without an image");
        let image = Terms { has_image: true, ..user.clone() };
        let both = "(HasSingularity =?= True || x) && (a || b)";
        assert_eq!(requirements(&image, site).as_deref(), Some(both));
        assert_eq!(requirements(&Terms { has_image: true, ..terms(&[]) }, None), None);
        let machines = vec!["w1".to_owned(), "a\"b\\".to_owned()];
        let kept = Terms { passed_over: Some(PassedOver { machines, until: 7 }), ..user.clone() };
        let others =
            r#"((TARGET.Machine =!= "w1" && TARGET.Machine =!= "a\"b\\") || time() >= 7) && (a || b)"#;
        assert_eq!(requirements(&kept, site).as_deref(), Some(others));
        assert_ne!(user.shape_id(), image.shape_id());
        assert_ne!(user.shape(None), kept.shape(None));
    }

    #[test]
    fn an_expression_of_the_site_cannot_become_anything_else() {
        for good in ["HasSingularity =?= True", "(OpSysMajorVer >= 9) && HasSingularity"] {
            assert_eq!(check_requirements(good), Ok(()), "{good}");
        }
        for bad in ["", "true) || (true", "a\nqueue 5", "$(x)", "\"x", "1 // x"] {
            assert!(check_requirements(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_column_holds_what_would_split_it() {
        for value in ["a b", "a,b", "a\tb", "", "#a"] {
            assert!(!fits_in_column(value), "{value:?}");
        }
        assert!(is_good_folder("/var/lib/htc") && !is_good_folder("/var/my data") && !is_good_folder("rel"));
    }

    #[test]
    fn a_name_that_is_none_cannot_become_another_column_or_another_string() {
        for text in ["", "a b", "a,b", "a\"b", "a\\b", "a\nb", "$(key)", "#a", "a/b", "é"] {
            assert_eq!(word(text), "-", "{text:?}");
        }
        assert_eq!(word("a-1.b_C"), "a-1.b_C");
        assert_eq!([batch_name("", "a"), batch_name("n", "a"), batch_name("n", "a b")], ["a", "n/a", "n/-"]);
    }

    #[test]
    fn a_grace_period_without_end_is_the_longest_that_there_is() {
        let endless = Terms { grace_seconds: u32::MAX, ..terms(&[]) };
        assert_eq!(endless.commands(None)["job_max_vacate_time"], u32::MAX.to_string());
    }

    #[test]
    fn a_row_of_the_description_is_a_proc() {
        let row = |n: u32| Row {
            key: format!("u/{n}/0/0").parse().unwrap(),
            folder: format!("/d/{n}"),
            namespace: "ns".into(),
            name: "x".into(),
            terms: terms(&[("request_cpus", &n.to_string()), ("rank", "a + b")]),
        };
        let text = description("i\"1", Path::new("/bin/htc-sender"), Some(7), None, &[row(0), row(1)]);
        assert!(text.contains("MY.HTCOperatorInstance = \"i\\\"1\"\n"), "{text}");
        assert!(text.contains("rank = a + b\n"), "{text}");
        assert!(text.contains("max_transfer_output_mb = 7\n"), "{text}");
        assert!(text.contains("MY.HTCNamespace = \"$(ns)\"\nMY.HTCName = \"$(object)\"\n"), "{text}");
        let end = "queue dir, batch, ns, object, uid, key, c0, c2 from (\n\
                   /d/0 ns/x ns x u u/0/0/0 40 0\n/d/1 ns/x ns x u u/1/0/0 40 1\n)\n";
        assert!(text.ends_with(end), "{text}");
    }
}
