//! The list of fields: complete, shown by cases, and written down for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use htc_operator::pod::fields::{Fate, TABLES};
use k8s_openapi::api::core::v1 as k8s;
use schemars::JsonSchema;
use serde_json::Value;

use crate::case::Case;
use crate::golden;

fn properties<T: JsonSchema>() -> BTreeSet<String> {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    schema.get("properties").and_then(Value::as_object).unwrap().keys().cloned().collect()
}

#[test]
fn the_list_has_each_field_of_the_api_once() {
    let api = [
        properties::<k8s::PodSpec>(),
        properties::<k8s::PodSecurityContext>(),
        properties::<k8s::Container>(),
        properties::<k8s::SecurityContext>(),
        properties::<k8s::Volume>(),
        properties::<k8s::VolumeMount>(),
    ];
    for ((name, table), fields) in TABLES.iter().zip(api) {
        let ours: Vec<String> = table.iter().map(|(field, _)| (*field).to_owned()).collect();
        assert_eq!(ours, fields.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn each_carried_field_is_set_by_the_case_that_it_names() {
    let cases = Case::all();
    for (name, table) in TABLES {
        for (field, fate) in *table {
            let (Fate::Carried(wanted) | Fate::Varies(wanted, _)) = fate else { continue };
            let case = cases.iter().find(|case| case.name() == *wanted);
            let case =
                case.unwrap_or_else(|| panic!("{name}.{field} names a case {wanted}, which is not there"));
            let pod = serde_json::to_value(&case.pod.spec).unwrap();
            let set = places(name, &pod).iter().any(|place| place.get(field).is_some());
            assert!(set, "the case {wanted} does not set {name}.{field}");
        }
    }
}

/// The objects of a type in a pod's spec.
fn places<'a>(kind: &str, spec: &'a Value) -> Vec<&'a Value> {
    let list = |name: &str| spec[name].as_array().into_iter().flatten().collect::<Vec<_>>();
    let containers = [list("containers"), list("initContainers")].concat();
    let in_containers = |name: &str| containers.iter().filter_map(|c| c.get(name)).collect::<Vec<_>>();
    match kind {
        "PodSpec" => vec![spec],
        "PodSecurityContext" => spec.get("securityContext").into_iter().collect(),
        "Container" => containers,
        "SecurityContext" => in_containers("securityContext"),
        "Volume" => list("volumes"),
        "VolumeMount" => {
            in_containers("volumeMounts").into_iter().flat_map(|m| m.as_array().unwrap()).collect()
        }
        other => panic!("{other} is no type of the list"),
    }
}

/// What stands behind the list.
const SEEN: &str = r"
## What others can see

- The words of a container stand in the worker's list of processes while it runs. A variable of a Secret that `args` expands (`--password=$(PASSWORD)`) is among them: let the program read the variable or a file.
- Volumes of Secrets are files of the pool's account on the worker's scratch disk, not in memory, and go with the job. Other jobs of that account on that worker can read them, and so can who administers the worker.
- Termination messages and the messages of waiting containers are never in the job's ad, which everybody can read with `condor_q`. Names, reasons and exit codes of containers are, where workers do not reach the operator.
- A message is kept up to 4,096 bytes, the end that is told up to 900, a reason up to 128, whatever a job says.
";

#[test]
fn the_documentation_is_the_list() {
    let mut text = String::from(
        "# What becomes of each field of a pod\n\n\
         Written from `src/pod/fields.rs` by `HTC_GOLDEN=write cargo test --test pods`. A field is *carried* (the case \
         under `tests/pods/cases/`\nshows how), *refused* (the pod fails and says why), *ignored* (the pod is told), or \
         *settled* (it has done its work before the\npod comes to us, or means nothing for a job).\n",
    );
    for (name, table) in TABLES {
        write!(text, "\n## {name}\n\n| field | | |\n|---|---|---|\n").unwrap();
        for (field, fate) in *table {
            let (word, what) = match fate {
                Fate::Carried(case) => ("carried", format!("`{case}`")),
                Fate::Varies(case, how) => ("carried", format!("`{case}`; {how}")),
                Fate::Refused(why) => ("refused", (*why).to_owned()),
                Fate::Ignored(why) => ("ignored", (*why).to_owned()),
                Fate::Settled(why) => ("settled", (*why).to_owned()),
            };
            assert!(!what.is_empty(), "{name}.{field} gives no reason");
            writeln!(text, "| `{field}` | {word} | {what} |").unwrap();
        }
    }
    text.push_str(SEEN);
    golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pod-support.md"), &text);
}
