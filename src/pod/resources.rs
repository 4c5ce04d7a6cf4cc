//! Requests and limits → `request_*`. A job's resources are those of all containers that run side by
//! side, or of the largest init container where that wants more.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};

use super::context::Context;
use super::quantity::Quantity;
use super::refusal::Refusal;

/// HTCondor counts memory in MiB.
const MIB: u64 = 1 << 20;
/// And disk in KiB.
const KIB: u64 = 1 << 10;

/// Resources that are GPUs, whoever makes them.
const GPUS: &[&str] =
    &["nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"];

/// The resource that pods ask for GPUs of a maker by, from the name of the device; most are of one maker.
pub fn gpu_resource(device: &str) -> &'static str {
    let says = |word: &str| device.to_ascii_lowercase().contains(word);
    match () {
        () if says("amd") || says("radeon") => "amd.com/gpu",
        () if says("intel") => "intel.com/gpu",
        () => "nvidia.com/gpu",
    }
}

/// What the pool has, as a job asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cpu,
    Memory,
    Disk,
    Gpus,
}

/// Amounts by kind.
type Amounts = BTreeMap<Kind, Quantity>;

/// The submit commands, name and value; what had to be rounded goes into the notes.
pub fn submit_commands(
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, String)>, Refusal> {
    let amounts = wanted(context)?;
    let amount = |kind| amounts.get(&kind).copied();
    let units = |kind, unit: u64, default: u64| match amount(kind) {
        Some(quantity) => quantity.in_units_of(Quantity::of(unit)).unwrap_or(u64::MAX).max(1),
        None => default,
    };
    let settings = context.settings;
    let cpus = units(Kind::Cpu, 1, settings.default_cpus);
    if let Some(quantity) = amount(Kind::Cpu).filter(|quantity| !quantity.is_whole(Quantity::of(1))) {
        let milli = quantity.in_units_of("1m".parse().unwrap_or_default()).unwrap_or_default();
        notes.push(format!("cpu: HTCondor has whole cores: {milli}m became {cpus}"));
    }
    let mut commands = vec![
        ("request_cpus".to_owned(), cpus.to_string()),
        ("request_memory".to_owned(), units(Kind::Memory, MIB, settings.default_memory_mib).to_string()),
        ("request_disk".to_owned(), units(Kind::Disk, KIB, settings.default_disk_mib * KIB).to_string()),
    ];
    if let Some(gpus) = amount(Kind::Gpus).and_then(Quantity::ceil).filter(|&gpus| gpus > 0) {
        commands.push(("request_gpus".to_owned(), gpus.to_string()));
    }
    Ok(commands)
}

fn wanted(context: &Context<'_>) -> Result<Amounts, Refusal> {
    let spec = context.spec;
    let mut together = Amounts::new();
    for (n, container) in spec.containers.iter().enumerate() {
        for (kind, quantity) in of_container(container, &format!("spec.containers[{n}]"))? {
            let sum = together.entry(kind).or_default();
            let at = format!("spec.containers[{n}].resources");
            *sum = sum.plus(quantity).ok_or_else(|| Refusal::new(at, "is more than can be counted"))?;
        }
    }
    for (n, container) in spec.init_containers.iter().flatten().enumerate() {
        for (kind, quantity) in of_container(container, &format!("spec.initContainers[{n}]"))? {
            let most = together.entry(kind).or_default();
            *most = (*most).max(quantity);
        }
    }
    // What is said of the whole pod counts instead of the sum.
    together.extend(of(spec.resources.as_ref(), "spec.resources")?);
    Ok(together)
}

fn of_container(container: &Container, at: &str) -> Result<Amounts, Refusal> {
    of(container.resources.as_ref(), &format!("{at}.resources"))
}

/// The request of each resource, or its limit where there is none, as the API server has it.
fn of(resources: Option<&ResourceRequirements>, at: &str) -> Result<Amounts, Refusal> {
    let Some(ResourceRequirements { claims, limits, requests }) = resources else {
        return Ok(Amounts::new());
    };
    if claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err(Refusal::new(
            format!("{at}.claims"),
            "devices are asked for by resources such as nvidia.com/gpu",
        ));
    }
    let sides = [("requests", requests.as_ref()), ("limits", limits.as_ref())];
    let names: BTreeSet<&String> =
        sides.iter().flat_map(|(_, map)| map.iter().flat_map(|map| map.keys())).collect();
    let mut amounts = Amounts::new();
    for name in names {
        let value = sides.iter().find_map(|(side, map)| Some((side, map.as_ref()?.get(name)?)));
        let Some((side, quantity)) = value else { continue };
        let at = format!("{at}.{side}[{name}]");
        let quantity: Quantity = quantity.0.parse().map_err(|why: String| Refusal::new(&at, why))?;
        if quantity.ceil().is_none() {
            return Err(Refusal::new(at, "is below 0, or more than can be counted"));
        }
        if let Some(kind) = kind(name, quantity, &at)? {
            let sum = amounts.entry(kind).or_default();
            *sum = sum.plus(quantity).ok_or_else(|| Refusal::new(at, "is more than can be counted"))?;
        }
    }
    Ok(amounts)
}

fn kind(name: &str, quantity: Quantity, at: &str) -> Result<Option<Kind>, Refusal> {
    Ok(Some(match name {
        "cpu" => Kind::Cpu,
        "memory" => Kind::Memory,
        "ephemeral-storage" => Kind::Disk,
        name if GPUS.contains(&name) => Kind::Gpus,
        // Nothing of it is wanted.
        _ if quantity == Quantity::default() => return Ok(None),
        _ => {
            let known = GPUS.join(", ");
            let why =
                format!("the pool has no such resource; it has cpu, memory, ephemeral-storage and {known}");
            return Err(Refusal::new(at, why));
        }
    }))
}
