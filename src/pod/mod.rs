//! Pod → core words, and back: a pod becomes a Workload, what is known of its job becomes a PodStatus.
//! Pure functions of values; who sends pods, and who is told, is for the doors.

mod allowed;
mod conditions;
mod containers;
mod context;
pub mod delivered;
mod downward;
mod env;
mod expand;
pub mod fields;
pub mod image;
pub mod quantity;
mod refusal;
mod registries;
pub mod resources;
mod site;
pub mod status;
mod volumes;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Mount};
use htc_core::workload::spec::Volume;
use k8s_openapi::api::core::v1 as k8s;

pub use allowed::Allowed;
use context::Context;
use delivered::Delivered;
use refusal::refuse;
pub use refusal::{Refusal, in_brief};

/// Seconds between SIGTERM and SIGKILL unless the pod says otherwise, as Kubernetes has it.
const GRACE_SECONDS: i64 = 30;

/// So many containers a pod has at most. Some things are looked up among all of them.
pub const CONTAINERS_MAX: usize = 1_000;

/// What a site decides about pods.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The registry of images that are plain names.
    pub image_registry: Option<String>,
    /// Which images besides those of registries.
    pub images: Allowed,
    /// Cores of a pod that asks for none.
    pub default_cpus: u64,
    /// MiB of memory of a pod that asks for none.
    pub default_memory_mib: u64,
    /// MiB of disk of a pod that asks for none.
    pub default_disk_mib: u64,
    /// Paths of the workers that a hostPath may be or lie below.
    pub host_paths: Vec<String>,
    /// Claims, `namespace/name`, and the paths under which workers see them.
    pub claims: BTreeMap<String, String>,
    /// The scripts of `host:<site>` images, by site.
    pub site_scripts: BTreeMap<String, Vec<u8>>,
    /// Whether a pod of any restart policy is taken and run once: its caller never starts containers
    /// again, whatever the pod says.
    pub any_restart_policy: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            image_registry: None,
            images: Allowed::everything(),
            default_cpus: 1,
            default_memory_mib: 2_000,
            default_disk_mib: 1_000,
            host_paths: vec!["/cvmfs".to_owned()],
            claims: BTreeMap::new(),
            site_scripts: BTreeMap::new(),
            any_restart_policy: false,
        }
    }
}

/// A pod in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// What is to be run.
    pub workload: Workload,
    /// What is left out or rounded, a sentence each: the pod is told.
    pub notes: Vec<String>,
}

/// The work that a pod describes.
pub fn translate(pod: &k8s::Pod, delivered: &Delivered, settings: &Settings) -> Result<Translated, Refusal> {
    let Some(spec) = &pod.spec else { return Err(Refusal::new("spec", "is missing")) };
    let context = Context { pod, spec, delivered, settings, carried: &Cell::new(0) };
    let mut notes = Vec::new();
    fields::check(fields::POD, spec, "spec", &mut notes)?;
    // No `..`: a new field of the API must find its place in the table and, if it is carried, here.
    let k8s::PodSpec {
        active_deadline_seconds,
        affinity: _,
        automount_service_account_token: _,
        containers,
        dns_config: _,
        dns_policy: _,
        enable_service_links: _,
        ephemeral_containers: _,
        host_aliases: _,
        host_ipc: _,
        host_network: _,
        host_pid: _,
        host_users: _,
        hostname,
        image_pull_secrets,
        init_containers,
        node_name: _, // for `fieldRef`, see `downward`
        node_selector: _,
        os: _,
        overhead: _,
        preemption_policy: _,
        priority: _,
        priority_class_name: _,
        readiness_gates: _,
        resource_claims: _,
        resources: _, // see `resources`
        restart_policy,
        runtime_class_name: _,
        scheduler_name: _,
        scheduling_gates: _,
        security_context,
        service_account: _,
        service_account_name: _, // for `fieldRef`, see `downward`
        set_hostname_as_fqdn: _,
        share_process_namespace: _,
        subdomain: _,
        termination_grace_period_seconds,
        tolerations: _,
        topology_spread_constraints: _,
        volumes: _, // see `volumes`
    } = spec;
    check_restart_policy(restart_policy.as_deref(), settings, &mut notes)?;
    if let Some(security) = security_context {
        fields::check(fields::POD_SECURITY, security, "spec.securityContext", &mut notes)?;
    }
    if containers.is_empty() {
        return Err(Refusal::new("spec.containers", "must not be empty"));
    }
    if containers.len() + init_containers.as_ref().map_or(0, Vec::len) > CONTAINERS_MAX {
        let why = format!("are too many: with the init containers at most {CONTAINERS_MAX}");
        return Err(Refusal::new("spec.containers", why));
    }
    let mut list = |of: &[k8s::Container], name: &str| -> Result<Vec<Container>, Refusal> {
        let at = |n: usize| format!("spec.{name}[{n}]");
        of.iter().enumerate().map(|(n, c)| containers::translate(&context, c, &at(n), &mut notes)).collect()
    };
    let init_containers = list(init_containers.as_deref().unwrap_or_default(), "initContainers")?;
    let containers = list(containers, "containers")?;
    check_unique(&init_containers, &containers)?;
    let mounts: Vec<&Mount> = init_containers.iter().chain(&containers).flat_map(|c| &c.mounts).collect();
    let volumes = all_volumes(&context, &mounts, &mut notes)?;
    let submit = resources::submit_commands(&context, &mut notes)?;
    let names = image_pull_secrets.as_deref().unwrap_or_default();
    let workload = Workload {
        name: pod.metadata.name.clone().unwrap_or_default(),
        indices: 1,
        registries: registries::logins(delivered, names, &mut notes)?,
        image_paths: settings.images.prefixes(),
        init_containers,
        containers,
        volumes,
        grace_seconds: seconds(termination_grace_period_seconds.unwrap_or(GRACE_SECONDS)),
        deadline_seconds: deadline(*active_deadline_seconds)?,
        hostname: hostname.clone().filter(|name| !name.is_empty()),
        folder_variable: None,
        // An evicted pod has failed; its controller makes a new one.
        restart_after_eviction: false,
        submit,
    };
    Ok(Translated { workload, notes })
}

fn all_volumes(
    context: &Context<'_>,
    mounts: &[&Mount],
    notes: &mut Vec<String>,
) -> Result<Vec<Volume>, Refusal> {
    let mut volumes = volumes::translate(context, mounts, notes)?;
    volumes.extend(site::volumes(context.settings, mounts.iter().copied()));
    Ok(volumes)
}

fn check_restart_policy(
    policy: Option<&str>,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    match policy {
        Some("Never") => Ok(()),
        // Nobody has asked for anything.
        None if settings.any_restart_policy => Ok(()),
        Some(other) if settings.any_restart_policy => {
            notes.push(format!("spec.restartPolicy {other} is taken as Never: containers run once"));
            Ok(())
        }
        // What is not said means Always.
        other => {
            let other = other.unwrap_or("Always");
            refuse("spec", "restartPolicy", format!("{other} is not supported yet; Never is"))
        }
    }
}

/// Names tell logs and reports apart.
fn check_unique(inits: &[Container], containers: &[Container]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let mut all = inits.iter().chain(containers).map(|c| c.name.as_str());
    match all.find(|name| !seen.insert(*name)) {
        Some(name) => Err(Refusal::new("spec.containers", format!("two have the name {name:?}"))),
        None => Ok(()),
    }
}

fn deadline(seconds: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(seconds) = seconds else { return Ok(None) };
    match u32::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(Some(seconds)),
        _ => refuse("spec", "activeDeadlineSeconds", format!("{seconds} is no number of seconds above 0")),
    }
}

/// Below 0 means at once, as with a kubelet.
fn seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
