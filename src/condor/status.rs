//! What the pool has in all: one projected `condor_status`, added up.
//!
//! Attributes: <https://htcondor.readthedocs.io/en/latest/classad-attributes/machine-classad-attributes.html>

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cli::{Call, CallError, run};
use super::pool::Pool;
use crate::limits::STATUS_DEADLINE;

const TOOL: &str = "condor_status";

/// Dynamic slots are parts of partitionable ones, and backfill slots are the same machines once more.
const CONSTRAINT: &str = "DynamicSlot =!= true && BackfillSlot =!= true";

/// What a slot has in all, taken or free. The name of its GPUs is there where all are of one kind.
const PROJECTION: &[&str] =
    &["Name", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk", "TotalSlotGPUs", DEVICE];

const DEVICE: &str = "GPUs_DeviceName";

/// HTCondor counts memory in MiB.
const MIB: u64 = 1 << 20;
/// And disk in KiB.
const KIB: u64 = 1 << 10;

/// What all slots have together, taken or free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Partitionable and static slots.
    pub slots: u64,
    /// Cores.
    pub cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of the slots' scratch folders.
    pub disk: u64,
    /// GPUs by the name of the device, as in `NVIDIA A100-PCIE-40GB`; empty where a slot does not say.
    pub gpus: BTreeMap<String, u64>,
}

/// Asks the collector.
pub async fn totals(pool: &Pool) -> Result<Totals, CallError> {
    let arguments = ["-json", "-attributes", &PROJECTION.join(","), "-constraint", CONSTRAINT];
    let arguments = arguments.map(str::to_owned).to_vec();
    // `-name` would mean a machine here.
    let pool = &Pool { schedd: None, ..pool.clone() };
    parse(&run(Call { tool: TOOL, arguments, pool, deadline: STATUS_DEADLINE }).await?)
}

/// How many slots there are that meet an expression.
pub async fn matching(pool: &Pool, expression: &str) -> Result<usize, CallError> {
    let constraint = format!("{CONSTRAINT} && ({expression})");
    let arguments = ["-json", "-attributes", "Name", "-constraint", &constraint].map(str::to_owned).to_vec();
    let pool = &Pool { schedd: None, ..pool.clone() };
    slots(&run(Call { tool: TOOL, arguments, pool, deadline: STATUS_DEADLINE }).await?)
        .map(|slots| slots.len())
}

/// Nothing at all means that there are no slots.
fn slots(answer: &[u8]) -> Result<Vec<Map<String, Value>>, CallError> {
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(answer)
        .map_err(|why| CallError::Unreadable { tool: TOOL, message: why.to_string() })
}

fn parse(answer: &[u8]) -> Result<Totals, CallError> {
    let mut totals = Totals::default();
    for slot in &slots(answer)? {
        let amount = |name: &str| whole(slot.get(name));
        totals.slots += 1;
        totals.cpus += amount("TotalSlotCpus");
        totals.memory += amount("TotalSlotMemory") * MIB;
        totals.disk += amount("TotalSlotDisk") * KIB;
        let gpus = amount("TotalSlotGPUs");
        if gpus > 0 {
            let device = slot.get(DEVICE).and_then(Value::as_str).unwrap_or_default();
            *totals.gpus.entry(device.to_owned()).or_default() += gpus;
        }
    }
    Ok(totals)
}

/// A number that may have been printed with a fraction (`81395076.0`); 0 for anything else.
fn whole(value: Option<&Value>) -> u64 {
    // A cast of a negative number gives 0, one of a number that is too large the largest.
    value.and_then(Value::as_f64).map_or(0, |number| number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `condor_status` of 23.9.6 said of a machine with one partitionable slot, of which jobs had
    /// three parts, and of a static slot with GPUs as the manual has them.
    const ANSWER: &str = r#"[
{
  "Name": "slot1@vm",
  "TotalSlotCpus": 16,
  "TotalSlotDisk": 81395076.0,
  "TotalSlotGPUs": 0,
  "TotalSlotMemory": 65536
}
,
{
  "GPUs_DeviceName": "NVIDIA A100-PCIE-40GB",
  "Name": "slot2@gpu",
  "TotalSlotCpus": 4,
  "TotalSlotDisk": 1024.0,
  "TotalSlotGPUs": 2,
  "TotalSlotMemory": 1024
}
]
"#;

    #[test]
    fn slots_add_up_in_bytes_and_gpus_by_their_device() {
        let gpus = [("NVIDIA A100-PCIE-40GB".to_owned(), 2)].into();
        let memory = (65_536 + 1_024) << 20;
        let totals = Totals { slots: 2, cpus: 20, memory, disk: (81_395_076 + 1_024) << 10, gpus };
        assert_eq!(parse(ANSWER.as_bytes()).unwrap(), totals);
    }

    #[test]
    fn no_bytes_mean_no_slots_and_a_cut_answer_means_nothing() {
        assert_eq!(parse(b"\n").unwrap(), Totals::default());
        assert!(parse(&ANSWER.as_bytes()[..ANSWER.len() - 3]).is_err());
    }

    #[test]
    fn what_is_no_number_counts_as_none() {
        let odd = br#"[{"TotalSlotCpus": "/Expr(quantize(2))/", "TotalSlotMemory": -1, "TotalSlotGPUs": 1}]"#;
        let totals = Totals { slots: 1, gpus: [(String::new(), 1)].into(), ..Totals::default() };
        assert_eq!(parse(odd).unwrap(), totals);
    }
}
