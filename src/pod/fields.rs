//! What becomes of each field of a pod: the one list from which fields are refused, notes are made
//! and `docs/pod-support.md` is written.

use serde_json::Value;

use super::refusal::Refusal;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Honoured; the golden case that shows it.
    Carried(&'static str),
    /// Honoured by the case, but not alike at each door: this is how.
    Varies(&'static str, &'static str),
    /// A pod that sets it is refused, for this reason.
    Refused(&'static str),
    /// Left out, and the pod is told so, for this reason.
    Ignored(&'static str),
    /// It has done its work before the pod comes to us, or means nothing for a job: no word is lost
    /// about it, for this reason.
    Settled(&'static str),
}

use Fate::{Carried, Ignored, Refused, Settled, Varies};

/// A type of the API and the fate of each of its fields.
pub type Table = &'static [(&'static str, Fate)];

const SCHEDULING: Fate = Settled("concerns the choice of the node, which is made when the pod comes to us");
const NOT_YET: &str = "not supported yet";
const OLD: Fate =
    Refused("the volume's files are not on the workers; use a claim that the site maps, or a hostPath");

/// `PodSpec`.
pub const POD: Table = &[
    ("activeDeadlineSeconds", Carried("deadline")),
    ("affinity", SCHEDULING),
    ("automountServiceAccountToken", Settled("the API server has made a volume of it")),
    ("containers", Carried("command")),
    ("dnsConfig", Ignored("names are resolved as the worker does")),
    ("dnsPolicy", Settled("names are resolved as the worker does")),
    ("enableServiceLinks", Settled("the caller sends the variables of services among the others")),
    ("ephemeralContainers", Refused("a running job cannot get another container")),
    ("hostAliases", Ignored("/etc/hosts is the worker's")),
    ("hostIPC", Refused("a container has an IPC namespace of its own")),
    ("hostNetwork", Settled("a job always has the worker's network")),
    ("hostPID", Refused("a container does not see the processes of the worker")),
    ("hostUsers", Settled("a job has no rights but those of the pool's user")),
    ("hostname", Carried("hostname")),
    ("imagePullSecrets", Carried("pull-secret")),
    ("initContainers", Carried("inits")),
    ("nodeName", Carried("env-fields")),
    ("nodeSelector", SCHEDULING),
    ("os", Settled("jobs run on Linux")),
    ("overhead", SCHEDULING),
    ("preemptionPolicy", SCHEDULING),
    ("priority", SCHEDULING),
    ("priorityClassName", SCHEDULING),
    ("readinessGates", Settled("concern controllers, which look at conditions that others set")),
    ("resourceClaims", Refused("devices are asked for by resources such as nvidia.com/gpu")),
    ("resources", Carried("pod-resources")),
    (
        "restartPolicy",
        Varies(
            "never",
            "only `Never`, said aloud; by InterLink any, and none: its virtual kubelets never start a container \
             again, so all run once",
        ),
    ),
    ("runtimeClassName", Ignored("containers run by apptainer")),
    ("schedulerName", SCHEDULING),
    ("schedulingGates", SCHEDULING),
    ("securityContext", Carried("pod-security")),
    ("serviceAccount", Settled("the older name of serviceAccountName")),
    ("serviceAccountName", Carried("env-fields")),
    ("setHostnameAsFQDN", Ignored("the host name is the pod's hostname or the worker's")),
    ("shareProcessNamespace", Ignored("each container has a process namespace of its own")),
    ("subdomain", Settled("a job has no DNS name in the cluster")),
    ("terminationGracePeriodSeconds", Carried("grace")),
    ("tolerations", SCHEDULING),
    ("topologySpreadConstraints", SCHEDULING),
    ("volumes", Carried("empty-dir")),
];

/// `Container`, of both lists.
pub const CONTAINER: Table = &[
    ("args", Carried("args")),
    ("command", Carried("command")),
    ("env", Carried("env")),
    ("envFrom", Carried("env-from")),
    ("image", Carried("images")),
    ("imagePullPolicy", Carried("pull-policy")),
    ("lifecycle", Refused(NOT_YET)),
    ("livenessProbe", Ignored(NOT_YET)),
    ("name", Carried("command")),
    ("ports", Settled("a job listens on the ports of its worker; nothing is forwarded")),
    ("readinessProbe", Ignored(NOT_YET)),
    ("resizePolicy", Settled("a running job keeps its resources")),
    ("resources", Carried("resources")),
    ("restartPolicy", Refused("sidecars among init containers are not supported yet")),
    ("securityContext", Carried("security")),
    ("startupProbe", Ignored(NOT_YET)),
    ("stdin", Ignored("nothing can be attached; the container reads an empty input")),
    ("stdinOnce", Settled("goes with stdin")),
    ("terminationMessagePath", Carried("termination-message")),
    ("terminationMessagePolicy", Carried("termination-message")),
    ("tty", Ignored("a job has no terminal")),
    ("volumeDevices", Refused("a worker has no block devices of the cluster")),
    ("volumeMounts", Carried("mounts")),
    ("workingDir", Carried("working-dir")),
];

/// `SecurityContext` of a container.
pub const SECURITY: Table = &[
    ("allowPrivilegeEscalation", Settled("containers cannot gain privileges on a worker")),
    ("appArmorProfile", Ignored("the worker's own confinement holds")),
    ("capabilities", Carried("security")),
    ("privileged", Carried("security")),
    ("procMount", Ignored("the worker's own confinement holds")),
    ("readOnlyRootFilesystem", Ignored("what is written outside of mounts goes with the container")),
    ("runAsGroup", Ignored("the job runs as the pool's user")),
    ("runAsNonRoot", Settled("jobs never run as root")),
    ("runAsUser", Ignored("the job runs as the pool's user")),
    ("seLinuxOptions", Ignored("the worker's own confinement holds")),
    ("seccompProfile", Ignored("the worker's own confinement holds")),
    ("windowsOptions", Refused("jobs run on Linux")),
];

/// `PodSecurityContext`.
pub const POD_SECURITY: Table = &[
    ("appArmorProfile", Ignored("the worker's own confinement holds")),
    ("fsGroup", Ignored("files of volumes belong to the pool's user")),
    ("fsGroupChangePolicy", Settled("goes with fsGroup")),
    ("runAsGroup", Ignored("the job runs as the pool's user")),
    ("runAsNonRoot", Settled("jobs never run as root")),
    ("runAsUser", Ignored("the job runs as the pool's user")),
    ("seLinuxChangePolicy", Settled("goes with seLinuxOptions")),
    ("seLinuxOptions", Ignored("the worker's own confinement holds")),
    ("seccompProfile", Ignored("the worker's own confinement holds")),
    ("supplementalGroups", Ignored("the job has the groups of the pool's user")),
    ("supplementalGroupsPolicy", Settled("goes with supplementalGroups")),
    ("sysctls", Refused("a job cannot change the kernel of a worker")),
    ("windowsOptions", Refused("jobs run on Linux")),
];

/// `Volume`.
pub const VOLUME: Table = &[
    ("awsElasticBlockStore", OLD),
    ("azureDisk", OLD),
    ("azureFile", OLD),
    ("cephfs", OLD),
    ("cinder", OLD),
    ("configMap", Carried("config-map")),
    ("csi", Carried("cvmfs")),
    ("downwardAPI", Carried("downward-api")),
    ("emptyDir", Carried("empty-dir")),
    ("ephemeral", Refused("a claim would be made that no worker sees; use an emptyDir")),
    ("fc", OLD),
    ("flexVolume", OLD),
    ("flocker", OLD),
    ("gcePersistentDisk", OLD),
    ("gitRepo", Refused("it is no longer part of Kubernetes; clone in an init container")),
    ("glusterfs", OLD),
    ("hostPath", Carried("host-path")),
    ("image", Refused(NOT_YET)),
    ("iscsi", OLD),
    ("name", Carried("empty-dir")),
    ("nfs", OLD),
    ("persistentVolumeClaim", Carried("claim")),
    ("photonPersistentDisk", OLD),
    ("portworxVolume", OLD),
    ("projected", Carried("projected")),
    ("quobyte", OLD),
    ("rbd", OLD),
    ("scaleIO", OLD),
    ("secret", Carried("secret")),
    ("storageos", OLD),
    ("vsphereVolume", OLD),
];

/// `VolumeMount`.
pub const MOUNT: Table = &[
    ("mountPath", Carried("mounts")),
    ("mountPropagation", Carried("mounts")),
    ("name", Carried("mounts")),
    ("readOnly", Carried("mounts")),
    ("recursiveReadOnly", Refused(NOT_YET)),
    ("subPath", Carried("mounts")),
    ("subPathExpr", Carried("sub-path-expr")),
];

/// All tables with the names of their types, as the documentation shows them.
pub const TABLES: &[(&str, Table)] = &[
    ("PodSpec", POD),
    ("PodSecurityContext", POD_SECURITY),
    ("Container", CONTAINER),
    ("SecurityContext", SECURITY),
    ("Volume", VOLUME),
    ("VolumeMount", MOUNT),
];

/// Refuses what must be refused; notes what is left out. `object` is the value at the path `at`.
pub fn check(
    table: Table,
    object: &impl serde::Serialize,
    at: &str,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    let Ok(Value::Object(fields)) = serde_json::to_value(object) else { return Ok(()) };
    for (name, _) in fields.iter().filter(|(_, value)| is_set(value)) {
        match table.iter().find(|(known, _)| known == name).map(|(_, fate)| fate) {
            Some(Carried(_) | Varies(..) | Settled(_)) => {}
            Some(Ignored(why)) => notes.push(format!("{at}.{name} is ignored: {why}")),
            Some(Refused(why)) => return Err(Refusal::new(format!("{at}.{name}"), *why)),
            None => return Err(Refusal::new(format!("{at}.{name}"), "is a field that is not known here")),
        }
    }
    Ok(())
}

/// `false`, 0 lists and empty texts ask for nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        // An empty object may mean something, as `emptyDir: {}` does.
        Value::Object(_) | Value::Bool(true) | Value::Number(_) => true,
    }
}
