//! Tests of job ads.

use serde_json::{Value, json};

use super::*;

/// An ad as `condor_q -json` of 23.9.6 printed it, with some attributes changed.
fn ad(changes: Value) -> Result<Ad, Unreadable> {
    let mut ad = json!({
        "ClusterId": 58,
        "CompletionDate": 1795237017,
        "EnteredCurrentStatus": 1795237018,
        "ExitBySignal": false,
        "ExitCode": 0,
        "HoldReason": null,
        "HoldReasonCode": null,
        "HTCOperatorKey": "0013742e-b431-4b57-9f39-bd77d8fda467/6/0/0",
        "Iwd": "/var/spool/condor/58/0/cluster58.proc0.subproc0",
        "JobCurrentStartDate": 1795237016,
        "JobStatus": 4,
        "NumShadowStarts": 1,
        "ProcId": 0,
        "StageInFinish": 1795237013,
        "SUBMIT_Iwd": "/data/jobs/0013742e-b431-4b57-9f39-bd77d8fda467/6.0.0"
    });
    for (name, value) in changes.as_object().unwrap() {
        ad[name] = value.clone();
    }
    let key = ad[KEY].as_str().unwrap().parse().unwrap();
    Ad::parse(key, &fields(&ad))
}

#[test]
fn a_completed_job_tells_its_end_and_where_it_came_from() {
    let ad = ad(json!({})).unwrap();
    assert_eq!(ad.state, State::Completed(Exit::Code(0)));
    assert_eq!((ad.job.to_string().as_str(), ad.key.index, ad.starts), ("58.0", 6, 1));
    assert_eq!(ad.since.as_second(), 1795237017);
    assert_eq!(ad.folder, "/data/jobs/0013742e-b431-4b57-9f39-bd77d8fda467/6.0.0");
    assert!(ad.staged && !ad.acknowledged && ad.is_over());
}

#[test]
fn what_the_job_says_of_itself_is_only_carried() {
    assert_eq!(ad(json!({})).unwrap().chirp, None);
    assert_eq!(ad(json!({"ChirpHTCReport": "v1,k"})).unwrap().chirp.as_deref(), Some("v1,k"));
    assert_eq!(ad(json!({"ChirpHTCReport": 7})).unwrap().chirp, None);
}

#[test]
fn every_state_is_read_for_what_it_is() {
    let state = |changes| ad(changes).unwrap().state;
    assert_eq!(state(json!({"JobStatus": 1, "CompletionDate": 0})), State::Idle);
    assert_eq!(state(json!({"JobStatus": 2})), State::Running);
    assert_eq!(state(json!({"JobStatus": 7})), State::Suspended);
    let held = json!({"JobStatus": 5, "HoldReasonCode": 12, "HoldReasonSubCode": 2, "HoldReason": "x"});
    assert_eq!(state(held), State::Held { code: 12, subcode: 2, reason: "x".into() });
    let signal = json!({"ExitBySignal": true, "ExitSignal": 9, "ExitCode": null});
    assert_eq!(state(signal), State::Completed(Exit::Signal(9)));
    assert_eq!(state(json!({"ExitCode": null})), State::Completed(Exit::Code(255)));
}

#[test]
fn a_job_removed_after_its_end_has_ended_and_one_removed_before_has_not() {
    let why = json!({"JobStatus": 3, "RemoveReason": "via condor_rm (by user alice)"});
    assert_eq!(ad(why.clone()).unwrap().state, State::Completed(Exit::Code(0)));
    let before = ad(json!({"JobStatus": 3, "CompletionDate": 0, "RemoveReason": "r"})).unwrap();
    assert_eq!(before.state, State::Removed { reason: "r".into() });
}

#[test]
fn the_machine_is_named_once_a_job_has_ended_and_only_where_it_looks_like_one() {
    let machine = |slot: Value| ad(json!({ "LastRemoteHost": slot })).unwrap().machine;
    assert_eq!(machine(json!("slot1_2@w1.example.org")).as_deref(), Some("w1.example.org"));
    assert_eq!(machine(json!("slot1@glidein_7@w1")).as_deref(), Some("w1"));
    for bad in
        [json!("slot1@"), json!("s@a\" || true"), json!("s@a b"), json!("s@".to_owned() + &"x".repeat(254))]
    {
        assert_eq!(machine(bad.clone()), None, "{bad}");
    }
    assert_eq!(machine(json!(["x"])), None);
    let both = json!({ "RemoteHost": "slot1@w2", "LastRemoteHost": "slot1@w1" });
    assert_eq!(ad(both).unwrap().machine.as_deref(), Some("w2"));
    let running = json!({ "JobStatus": 2, "RemoteHost": "slot1@w2" });
    assert_eq!(ad(running).unwrap().machine, None);
}

#[test]
fn a_job_that_waits_for_its_files_has_not_been_handed_over() {
    let spooling = json!({"JobStatus": 5, "HoldReasonCode": 16, "StageInFinish": null});
    assert!(ad(spooling).unwrap().is_spooling());
    assert!(!ad(json!({"JobStatus": 5, "HoldReasonCode": 16})).unwrap().is_spooling());
}

#[test]
fn an_ad_without_what_we_need_is_no_ad() {
    for (bad, attribute) in [
        (json!({"ClusterId": null}), "ClusterId"),
        (json!({"ProcId": -1}), "ProcId"),
        (json!({"JobStatus": 99}), "JobStatus"),
        (json!({"JobStatus": "/Expr(error)/"}), "JobStatus"),
    ] {
        assert_eq!(ad(bad), Err(Unreadable(attribute)));
    }
}

#[test]
fn anything_else_that_cannot_be_read_counts_as_absent_and_is_named() {
    let running = json!({"JobStatus": 2});
    let good = ad(running.clone()).unwrap();
    for name in ["EnteredCurrentStatus", "NumShadowStarts", "NumJobStarts", "HTCAck", "VacateReason"] {
        for odd in [json!({"deep": [[1]]}), json!("/Expr(1 + x)/"), json!(1e300)] {
            let mut changes = running.clone();
            changes[name] = odd;
            let read = ad(changes).unwrap();
            assert_eq!(read.unread, [name]);
            assert_eq!((&read.state, read.since, read.job), (&good.state, good.since, good.job));
        }
    }
    let held = json!({"JobStatus": 5, "HoldReason": [], "EnteredCurrentStatus": 1_u64 << 62});
    let held = ad(held).unwrap();
    assert_eq!(held.unread, ["HoldReason", "EnteredCurrentStatus"]);
    assert_eq!(held.since.as_second(), 1_795_237_013, "the time at which its files were there");
}
