//! What the pool has in all: one projected `condor_status`, added up.
//!
//! Attributes: <https://htcondor.readthedocs.io/en/latest/classad-attributes/machine-classad-attributes.html>

use std::collections::BTreeMap;

use super::answer;
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

/// A slot that says that it has more of something says nothing: 1 PB of disk.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

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
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: STATUS_DEADLINE }).await?;
    let mut slots = 0;
    let read = answer::each(&answer, &["Name"], |_| slots += 1);
    read.map(|()| slots).map_err(|message| CallError::Unreadable { tool: TOOL, message })
}

/// Nothing at all means that there are no slots. What a slot says that cannot be read counts as none of it, and
/// spoils no other slot.
fn parse(answer: &[u8]) -> Result<Totals, CallError> {
    let mut totals = Totals::default();
    let add = |sum: &mut u64, amount: u64, unit: u64| *sum = sum.saturating_add(amount.saturating_mul(unit));
    let read = answer::each(answer, PROJECTION, |slot| {
        let read = |name| slot.amount(name).ok().flatten();
        let amount = |name| read(name).filter(|amount| *amount <= AMOUNT_MAX).unwrap_or(0);
        totals.slots += 1;
        add(&mut totals.cpus, amount("TotalSlotCpus"), 1);
        add(&mut totals.memory, amount("TotalSlotMemory"), MIB);
        add(&mut totals.disk, amount("TotalSlotDisk"), KIB);
        let gpus = amount("TotalSlotGPUs");
        if gpus > 0 {
            let device = slot.text(DEVICE).ok().flatten().unwrap_or_default();
            add(totals.gpus.entry(device.to_owned()).or_default(), gpus, 1);
        }
    });
    read.map(|()| totals).map_err(|message| CallError::Unreadable { tool: TOOL, message })
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

    #[test]
    fn a_slot_that_says_something_odd_spoils_no_other() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let good =
            r#"{"TotalSlotCpus": 4, "TotalSlotMemory": 1, "GPUs_DeviceName": "A", "TotalSlotGPUs": 1}"#;
        for odd in [deep.as_str(), "{\"a\": /}", "1e999", "true", "99999999999999999999999"] {
            let odd = format!(r#"{{"TotalSlotCpus": {odd}, "GPUs_DeviceName": {odd}, "TotalSlotGPUs": 2}}"#);
            let totals = parse(format!("[{odd},{good}]").as_bytes()).unwrap();
            assert_eq!((totals.slots, totals.memory, totals.gpus.get("A")), (2, MIB, Some(&1)), "{odd:.60}");
        }
        let bytes = [b"[{\"GPUs_DeviceName\": \"\xff\"},".as_slice(), good.as_bytes(), b"]"].concat();
        assert_eq!(parse(&bytes).unwrap().cpus, 4);
    }

    #[test]
    fn what_no_machine_can_have_counts_as_none() {
        let good = r#"{"TotalSlotCpus": 4, "TotalSlotDisk": 1}"#;
        let huge = r#"{"TotalSlotCpus": 1e300, "TotalSlotDisk": 1e13, "TotalSlotGPUs": 1e300}"#;
        let totals = parse(format!("[{huge},{good},{huge}]").as_bytes()).unwrap();
        assert_eq!(totals, Totals { slots: 3, cpus: 4, disk: KIB, ..Totals::default() });
    }
}
