//! The tools as programs: what they answer to calls that our code makes rarely or never.

use std::time::Duration;

use htc_operator::condor::cli::{Call, CallError, run};
use tokio::task::JoinSet;

use super::{row, start_rows, submit};
use crate::pool::{Fault, Outage, Planned, Scripted};

super::claims![
    the_history_is_a_list_even_when_it_is_empty,
    a_history_that_failed_has_begun_its_list,
    the_newest_history_comes_first_and_only_so_much_as_asked,
    whole_ads_have_the_time_of_the_schedd,
    a_malformed_constraint_is_named,
    what_is_not_scripted_fails_loudly,
    every_call_is_written_down_with_its_arguments,
    submissions_at_once_get_clusters_of_their_own,
];

async fn call(scripted: &Scripted, tool: &'static str, arguments: &[&str]) -> Result<String, CallError> {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let pool = &scripted.pool();
    let out = run(Call { tool, arguments, pool, deadline: Duration::from_secs(60) }).await?;
    Ok(String::from_utf8(out).unwrap())
}

async fn the_history_is_a_list_even_when_it_is_empty() {
    let scripted = Scripted::new();
    assert_eq!(call(&scripted, "condor_history", &["-json"]).await.unwrap(), "[\n]\n");
    assert!(call(&scripted, "condor_status", &["-schedd", "-json"]).await.unwrap().contains("test@pool"));
}

async fn a_history_that_failed_has_begun_its_list() {
    let scripted = Scripted::new();
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    let error = call(&scripted, "condor_history", &["-json"]).await.unwrap_err().to_string();
    assert!(error.contains("Unable to locate remote schedd"), "{error}");
}

async fn the_newest_history_comes_first_and_only_so_much_as_asked() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await.1.unwrap();
    for key in ["u/0/0/0", "u/1/0/0"] {
        scripted.set(key, serde_json::json!({ "HTCAck": true }));
        scripted.remove(key);
    }
    let arguments = ["-json", "-limit", "1", "-attributes", "ProcId", "-constraint", "JobStatus == 3"];
    let answer = call(&scripted, "condor_history", &arguments).await.unwrap();
    assert_eq!(answer, "[\n{\n  \"ProcId\": 1\n}\n]\n");
}

async fn whole_ads_have_the_time_of_the_schedd() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    let whole = call(&scripted, "condor_q", &["-allusers", "-json"]).await.unwrap();
    assert!(whole.contains("\"ServerTime\""), "{whole}");
    let projected =
        call(&scripted, "condor_q", &["-allusers", "-json", "-attributes", "ProcId"]).await.unwrap();
    assert_eq!(projected, "[\n{\n  \"ProcId\": 0\n}\n]\n");
}

async fn a_malformed_constraint_is_named() {
    let scripted = Scripted::new();
    let error = call(&scripted, "condor_q", &["-allusers", "-json", "-constraint", "a b"]).await.unwrap_err();
    assert!(error.to_string().contains("-- Parse error in constraint expression \"a b\""), "{error}");
}

async fn what_is_not_scripted_fails_loudly() {
    let scripted = Scripted::new();
    call(&scripted, "condor_q", &["-better-analyze"]).await.unwrap_err();
    let surprises = scripted.change(|state| std::mem::take(&mut state.surprises));
    assert!(surprises[0].contains("-better-analyze is not scripted"), "{surprises:?}");
}

async fn every_call_is_written_down_with_its_arguments() {
    let scripted = Scripted::new();
    call(&scripted, "condor_q", &["-allusers", "-json"]).await.unwrap();
    let calls = scripted.calls("condor_q");
    assert_eq!((calls.len(), calls[0].arguments.join(" ")), (1, "-allusers -json".to_owned()));
}

async fn submissions_at_once_get_clusters_of_their_own() {
    let scripted = Scripted::new();
    let mut tools = JoinSet::new();
    for n in 0..8 {
        let mut submission = start_rows(&scripted, &[row(&scripted, &format!("u/{n}/0/0"))]);
        tools.spawn(async move { submission.first_id().await.unwrap().cluster });
    }
    let mut clusters = tools.join_all().await;
    clusters.sort_unstable();
    assert_eq!(clusters, (1..=8).collect::<Vec<_>>());
}
