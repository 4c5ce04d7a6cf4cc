//! Every key that any InterLink file or variable has had, and what it is to us: the table.

/// A key of the YAML files.
pub(super) struct Key {
    /// As the files spell it; case is not looked at.
    pub name: &'static str,
    /// The variable that overrides it.
    pub variable: Option<&'static str>,
    pub meaning: Meaning,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hop {
    /// The virtual kubelet, which called the API server.
    Kubelet,
    /// The API server, which called the plugin.
    Api,
}

/// What a key is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A port to listen on.
    Port(Hop),
    /// A URL whose address is listened on.
    Address(Hop),
    /// DataRootFolder.
    DataRoot,
    /// Which plugin it was, which says the port.
    Service,
    /// The block with certificate and key.
    Tls,
    /// More in the log.
    Verbose,
    /// Less in the log.
    ErrorsOnly,
    /// What it says of itself; anything but empty or false is refused.
    Without(&'static str),
    /// One of these values is what we do; anything else is refused.
    Usual(&'static [&'static str], &'static str),
    /// True is what we do; false is refused.
    Always(&'static str),
    /// Of no use here.
    Foreign(&'static str),
}

use Meaning::*;

const KUBELET: &str = "it is the virtual kubelet's, which keeps its own file";
const SLURM: &str = "it is for Slurm; jobs go to HTCondor";
const TSOCKS: &str =
    "jobs talk to us through HTCondor where they reach nothing else; no library is loaded into tools";
const SCRIPT: &str = "no script is written here: what a job runs is data, and pods say it";
const SINGULARITY: &str = "the worker's own apptainer or singularity runs the images, with our options";

const RUNTIMES: &[&str] = &["singularity", "apptainer"];

const fn key(name: &'static str, variable: &'static str, meaning: Meaning) -> Key {
    Key { name, variable: Some(variable), meaning }
}

const fn only(name: &'static str, meaning: Meaning) -> Key {
    Key { name, variable: None, meaning }
}

/// The table.
pub(super) const KEYS: &[Key] = &[
    // The API server, and the one file that everybody read at first.
    only("InterlinkAddress", Address(Hop::Kubelet)),
    key("InterlinkURL", "INTERLINKURL", Address(Hop::Kubelet)),
    key("InterlinkPort", "INTERLINKPORT", Port(Hop::Kubelet)),
    key("SidecarURL", "SIDECARURL", Address(Hop::Api)),
    key("SidecarPort", "SIDECARPORT", Port(Hop::Api)),
    key("SidecarService", "SIDECARSERVICE", Service),
    only("Socket", Address(Hop::Api)),
    only("TLS", Tls),
    only("VerboseLogging", Verbose),
    only("ErrorsOnlyLogging", ErrorsOnly),
    key(
        "VKTokenFile",
        "VKTOKENFILE",
        Foreign("it is what callers show; name it with --interlink-token-file to ask for it here"),
    ),
    only("JobScriptBuildConfig", Without(SCRIPT)),
    only("JobScriptTemplate", Without(SCRIPT)),
    only("Pprof", Without("there is no profiler in this program")),
    // The plugins.
    only("DataRootFolder", DataRoot),
    only(
        "CommandPrefix",
        Without("shell text in front of every command is not run; set up the worker, or the image"),
    ),
    only("ExportPodData", Always("ConfigMaps and Secrets that a pod mounts always reach its job")),
    key("ServiceAccount", "SERVICEACCOUNT", Foreign("this needs no account in the cluster")),
    key("Namespace", "NAMESPACE", Foreign("this needs no namespace in the cluster")),
    key("Tsocks", "TSOCKS", Without(TSOCKS)),
    key("TsocksPath", "TSOCKSPATH", Foreign(TSOCKS)),
    key("TsocksLoginNode", "TSOCKSLOGINNODE", Foreign(TSOCKS)),
    key("SbatchPath", "SBATCHPATH", Foreign(SLURM)),
    key("ScancelPath", "SCANCELPATH", Foreign(SLURM)),
    key("SqueuePath", "SQUEUEPATH", Foreign(SLURM)),
    key("SinfoPath", "SINFOPATH", Foreign(SLURM)),
    only("BashPath", Foreign("no shell is started here")),
    only(
        "ImagePrefix",
        Usual(&["docker://"], "a plain image name is one of --image-registry, else of docker.io"),
    ),
    only("SingularityPath", Usual(RUNTIMES, SINGULARITY)),
    only("SingularityPrefix", Without(SINGULARITY)),
    only("SingularityDefaultOptions", Without(SINGULARITY)),
    only("ContainerRuntime", Usual(RUNTIMES, SINGULARITY)),
    only("EnrootPath", Without(SINGULARITY)),
    only("EnrootPrefix", Without(SINGULARITY)),
    only("EnrootDefaultOptions", Without(SINGULARITY)),
    only("EnableProbes", Foreign("docs/pod-support.md says what becomes of probes")),
    only("Flavors", Without("a pod's own requests and limits count")),
    only(
        "DefaultFlavor",
        Without("--pod-cpus and --pod-memory-mib say what a pod gets that asks for nothing"),
    ),
    only("DefaultUID", Without("a job runs as the user whom HTCondor gives it")),
    only("Taints", Foreign(KUBELET)),
    only("ResourceScriptPath", Without("the ping tells what the pool has")),
    // The virtual kubelet.
    key("VKConfigPath", "VK_CONFIG_PATH", Foreign(KUBELET)),
    key("NodeName", "NODENAME", Foreign(KUBELET)),
    only("KubernetesApiAddr", Foreign(KUBELET)),
    only("KubernetesApiPort", Foreign(KUBELET)),
    only("KubernetesApiCaCrt", Foreign(KUBELET)),
    only("DisableProjectedVolumes", Foreign(KUBELET)),
    only("JobScriptBuilderURL", Foreign(KUBELET)),
    only("PodIP", Foreign(KUBELET)),
    only("PodCIDR", Foreign(KUBELET)),
    only("HTTP", Foreign(KUBELET)),
    only("KubeletHTTP", Foreign(KUBELET)),
    only("KubeletCertFile", Foreign(KUBELET)),
    only("KubeletKeyFile", Foreign(KUBELET)),
    only("KubeletCSRSignerName", Foreign(KUBELET)),
    only("DisableCSR", Foreign(KUBELET)),
    only("Resources", Foreign(KUBELET)),
    only("NodeLabels", Foreign(KUBELET)),
    only("NodeTaints", Foreign(KUBELET)),
    only("Network", Foreign(KUBELET)),
    only("SkipDownwardAPIResolution", Foreign(KUBELET)),
];

/// The key of this name.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// The variables that override keys.
pub fn variables() -> Vec<&'static str> {
    KEYS.iter().filter_map(|key| key.variable).collect()
}
