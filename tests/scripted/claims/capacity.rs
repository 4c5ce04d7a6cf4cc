//! What the pool has, as doors are told.

use std::time::Instant;

use htc_operator::engine::Capacity;
use serde_json::json;

use crate::life::{Life, PATIENCE};
use crate::pool::{Fault, Scripted};

super::claims![
    what_the_pool_has_is_asked_once_for_many_and_only_when_somebody_wants_to_know,
    parts_of_slots_are_not_counted_twice,
    a_question_that_fails_gives_no_numbers,
];

async fn capacity(life: &Life) -> Capacity {
    let started = Instant::now();
    loop {
        if let Some(capacity) = life.engine.capacity() {
            return capacity;
        }
        assert!(started.elapsed() < PATIENCE, "the capacity is not known");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A machine with a partitionable slot of which a job has a part, one with a static slot, and one whose
/// cores are there a second time for backfill.
fn slots(scripted: &Scripted) {
    let slot = |changes: serde_json::Value| {
        let mut slot = json!({ "TotalSlotCpus": 8, "TotalSlotMemory": 1024, "TotalSlotDisk": 2048.0 });
        slot.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        slot.as_object().unwrap().clone()
    };
    scripted.change(|state| {
        state.slots = vec![
            slot(json!({ "SlotType": "Partitionable", "PartitionableSlot": true, "Cpus": 6 })),
            slot(json!({ "SlotType": "Dynamic", "DynamicSlot": true, "TotalSlotCpus": 2 })),
            slot(json!({ "SlotType": "Static", "TotalSlotGPUs": 2, "GPUs_DeviceName": "Tesla T4" })),
            slot(json!({ "SlotType": "Static", "BackfillSlot": true })),
        ];
    });
}

async fn what_the_pool_has_is_asked_once_for_many_and_only_when_somebody_wants_to_know() {
    let scripted = Scripted::new();
    slots(&scripted);
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    // Which schedd it is has been asked.
    let asked = || {
        scripted
            .calls("condor_status")
            .iter()
            .filter(|c| !c.arguments.contains(&"-schedd".to_owned()))
            .count()
    };
    assert_eq!(asked(), 0);
    let first = capacity(&life).await;
    for _ in 0..1_000 {
        assert_eq!(life.engine.capacity().as_ref(), Some(&first));
    }
    scripted.auto_run(0);
    life.ends("a").await;
    assert_eq!(asked(), 1);
    life.end().await;
}

async fn parts_of_slots_are_not_counted_twice() {
    let scripted = Scripted::new();
    slots(&scripted);
    let life = Life::on(&scripted).await;
    let Capacity { cpus, memory, disk, gpus, slots, jobs, at: _, trouble } = capacity(&life).await;
    assert_eq!((slots, cpus, memory, disk), (2, 16, 2 << 30, 4 << 20));
    assert_eq!(gpus, [("Tesla T4".to_owned(), 2)].into());
    assert_eq!((jobs, trouble), (5_000, None));
    life.end().await;
}

async fn a_question_that_fails_gives_no_numbers() {
    let scripted = Scripted::new();
    slots(&scripted);
    scripted.fault("condor_status", Fault::Fail("Error: communication error".to_owned()));
    let life = Life::on(&scripted).await;
    assert_eq!(life.engine.capacity(), None);
    let told = || life.metric("htc_capacity_looks_total{kind=\"failed\"}");
    let started = Instant::now();
    while told() == 0 {
        assert!(started.elapsed() < PATIENCE, "the failure is not counted");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((life.engine.capacity(), told()), (None, 1));
    life.end().await;
}
