//! The HTCJob as users write it. Doc comments are what `kubectl explain` shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An HTCJob runs a script in a container on an HTCondor pool, once or `queue` times side by side.
///
/// `spec` cannot be changed: delete the HTCJob and create another one.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "htc.cern.ch",
    version = "v1alpha1",
    kind = "HTCJob",
    plural = "htcjobs",
    shortname = "hj",
    category = "htc",
    namespaced,
    status = "HTCJobStatus",
    doc = "A script that runs in a container on an HTCondor pool, once or several times side by side.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.reason"}"#,
    printcolumn = r#"{"name":"Completions","type":"string","jsonPath":".status.completions"}"#,
    printcolumn = r#"{"name":"Active","type":"integer","jsonPath":".status.active"}"#,
    printcolumn = r#"{"name":"Held","type":"integer","jsonPath":".status.held"}"#,
    printcolumn = r#"{"name":"Failed","type":"integer","jsonPath":".status.failed"}"#,
    printcolumn = r#"{"name":"Cluster","type":"integer","jsonPath":".status.clusterid"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("spec is immutable: delete the HTCJob and create another one")
)]
pub struct HTCJobSpec {
    /// The name of the job as the script sees it, in the variable JOB_NAME.
    pub name: String,

    /// What runs.
    pub script: Script,

    /// How many copies run, from 1 to 20000; 1 when it is not set. Each copy gets its index, from 0
    /// on, as the argument of the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<i64>,

    /// Submit commands for HTCondor, one `name = value` a line, for example `request_memory = 2 GB` or
    /// `+JobFlavour = "workday"`. Only commands that concern the job's place in the pool are
    /// allowed; another one is refused and nothing is submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htcopts: Option<String>,
}

/// A script and the container it runs in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// The container image: a name such as `centos` (meaning `docker://centos`), a reference with
    /// `docker://` or `oras://`, the path of a `.sif` file or of an unpacked image that the workers
    /// see, or `host` for no container at all. A site says which paths it allows, and to which
    /// namespaces `host`.
    pub image: String,

    /// The command that gets the script as its first argument, such as `bash` or `python3 -u`. It is
    /// split into words as a shell would do; no shell runs it.
    pub command: String,

    /// The text of the script, at most 256 KiB.
    pub source: String,

    /// The same as `spec.queue`; only one of them may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<i64>,
}

/// How far an HTCJob is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HTCJobStatus {
    /// Copies that have not ended: queue − succeeded − failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<i64>,
    /// Copies that ended with exit code 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i64>,
    /// Copies that ended in any other way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
    /// Active copies that are on hold in HTCondor: somebody must act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<i64>,
    /// What is on hold, for each of HTCondor's hold codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// The HTCondor ids, `cluster.proc`: all of them up to 1000 jobs, else the first 1000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobid: Vec<String>,
    /// The same as `jobid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobids: Vec<String>,
    /// All HTCondor ids as ranges, `cluster.first-last`, when there are more than 1000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job_ranges: Vec<String>,
    /// The id under which the operator knows the HTCJob: its UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniqid: Option<String>,
    /// The first HTCondor cluster; an HTCJob may span several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusterid: Option<i64>,
    /// One word for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Succeeded copies of all, for example `3/10`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
    /// The indices that succeeded, for example `0-4,7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_indexes: Option<String>,
    /// The indices that failed, for example `5,6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<String>,
    /// How many attempts were made for all copies together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// `Submitted`: all copies are in HTCondor's queue or were. `Complete`: all have succeeded.
    /// `Failed`: all have ended and some have failed, or the HTCJob was refused. `Held`: at least one
    /// copy is on hold in HTCondor and somebody must act; the reason is the name of the hold code, the
    /// message says who can do what. It is `False` with the reason `Released` once nothing is on hold
    /// any more, and not there when nothing ever was. `JobsRemoved`: `False` while the HTCJob is being
    /// deleted and its HTCondor jobs are not known to be gone; the reason says what is awaited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the operator took the HTCJob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the last copy ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The folder on the operator's machine that holds what the script left in its working folder, once it
    /// has come home. With several copies it is the folder of them all: it has a folder for each,
    /// named after its index, and the files are in `work` in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
    /// When outputs and logs were removed, because they are kept only so long after the end
    /// (`--keep-outputs-days` of the operator).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs_collected: Option<Time>,
    /// A word that says why it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence that says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Copies that are on hold for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Hold {
    /// The name of HTCondor's hold code, for example `JobOutOfResources`.
    pub reason: String,
    /// HTCondor's `HoldReasonCode`.
    pub code: i64,
    /// HTCondor's `HoldReasonSubCode`, of the first of the copies.
    pub subcode: i64,
    /// How many copies.
    pub copies: i64,
    /// Their indices, for example `0-4,7`; of many intervals the first few.
    pub indexes: String,
    /// HTCondor's `HoldReason`, of the first of the copies.
    pub message: String,
    /// Who can do what about it.
    pub remedy: String,
}

/// One word for where an HTCJob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// Not in HTCondor's queue yet.
    Pending,
    /// In the queue; nothing runs.
    Submitted,
    /// At least one copy runs, or is suspended by the pool.
    Running,
    /// At least one copy is on hold and none runs.
    Held,
    /// All copies have succeeded.
    Succeeded,
    /// All copies have ended and at least one has failed, or the HTCJob was refused.
    Failed,
    /// It is being deleted; its jobs are being removed.
    Deleting,
}

/// The CustomResourceDefinition as YAML, as `crds/htcjob.yaml` holds it.
pub fn crd_yaml() -> String {
    let crd = serde_saphyr::to_string(&HTCJob::crd()).expect("a CRD is plain data");
    format!("# Made by `make crds` from src/htcjob/types.rs.\n{crd}")
}

/// The fields of an HTCJob, as part (`spec`, `status`) and name: an older CRD lacks some of them, and
/// the API server drops in silence what its CRD does not name.
pub fn crd_fields() -> Vec<(&'static str, String)> {
    let crd = serde_json::to_value(HTCJob::crd()).expect("a CRD is plain data");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let fields = |part: &'static str| {
        let names =
            schema[part]["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
        names.map(move |name| (part, name)).collect::<Vec<_>>()
    };
    [fields("spec"), fields("status")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_crd_is_the_one_of_these_types() {
        let committed = include_str!("../../crds/htcjob.yaml");
        assert_eq!(committed, crd_yaml(), "run `make crds`");
    }
}
