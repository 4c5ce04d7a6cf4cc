//! What people have set and applied for the last release is known to this one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::releases::file_of_the_last_release;

super::claims![
    every_setting_of_the_last_release_is_still_one,
    what_the_last_release_stored_fits_into_the_schema,
    what_the_last_release_has_told_its_jobs_is_understood_by_this_sender,
];

async fn every_setting_of_the_last_release_is_still_one() {
    let settings = file_of_the_last_release("settings.txt");
    let commands: BTreeSet<&str> =
        settings.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let help =
            Command::new(env!("CARGO_BIN_EXE_htc-operator")).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let known: BTreeSet<&str> = help.split(word).collect();
        let of_command = settings.lines().filter_map(|line| line.strip_prefix(command)?.strip_prefix(' '));
        let lost: Vec<&str> = of_command.filter(|setting| !known.contains(setting)).collect();
        assert!(lost.is_empty(), "{command} no longer knows {lost:?}");
    }
}

async fn what_the_last_release_stored_fits_into_the_schema() {
    let schema = |text: &str| -> Value {
        let crd: Value = serde_saphyr::from_str(text).unwrap();
        let [version] = &crd["spec"]["versions"].as_array().unwrap()[..] else { panic!("one version") };
        serde_json::json!({ "name": version["name"], "schema": version["schema"]["openAPIV3Schema"] })
    };
    let old = schema(&file_of_the_last_release("htcjob.yaml"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/htcjob.yaml");
    let new = schema(&std::fs::read_to_string(path).unwrap());
    let mut trouble = Vec::new();
    compare("", &old, &new, &mut trouble);
    assert!(trouble.is_empty(), "{trouble:#?}");
}

async fn what_the_last_release_has_told_its_jobs_is_understood_by_this_sender() {
    // A tool that outlives the upgrade takes the sender that lies in its place then.
    let files: BTreeMap<String, String> =
        serde_json::from_str(&file_of_the_last_release("settled/files.json")).unwrap();
    let told: Vec<_> = files.iter().filter(|(name, _)| name.ends_with("job.json")).collect();
    assert!(told.len() > 10, "{told:?}");
    for (name, text) in told {
        let job = htc_sender::job::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(job.events.is_some_and(|events| events.route.is_some()), "{name}");
    }
}

/// Where the new schema lacks something of the old one, or asks for more. Words for people may change, and fields
/// may be added.
fn compare(place: &str, old: &Value, new: &Value, trouble: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            trouble.push(format!("{place} was {old} and is {new}"));
        }
        return;
    };
    let are_fields = place.ends_with("/properties");
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let place = format!("{place}/{name}");
        match (old.get(name), new.get(name)) {
            _ if name == "description" && !are_fields => {}
            (Some(old), Some(new)) => compare(&place, old, new, trouble),
            (None, Some(_)) if are_fields => {}
            _ => trouble.push(format!("{place} stands in one of the two only")),
        }
    }
}
