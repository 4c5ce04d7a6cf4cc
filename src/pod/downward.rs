//! What a pod may know of itself: `fieldRef` and `resourceFieldRef`.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/downward-api/>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, Pod, ResourceFieldSelector};

use super::quantity::Quantity;
use super::refusal::Refusal;

/// The value of a field of the pod.
pub fn field(pod: &Pod, selector: &ObjectFieldSelector, at: &str) -> Result<String, Refusal> {
    let ObjectFieldSelector { api_version: _, field_path } = selector;
    let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let unknown = |why: &str| Refusal::new(at, format!("{field_path} {why}"));
    let known = |value: Option<&String>| value.cloned().ok_or_else(|| unknown("is not known here"));
    if let Some((map, key)) = subscript(field_path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(unknown("is no field of a pod that can be referred to")),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match field_path.as_str() {
        "metadata.name" => known(meta.name.as_ref()),
        "metadata.namespace" => known(meta.namespace.as_ref()),
        "metadata.uid" => known(meta.uid.as_ref()),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "spec.nodeName" => known(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => known(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => known(status.and_then(|status| status.host_ip.as_ref())),
        "status.podIP" => known(status.and_then(|status| status.pod_ip.as_ref())),
        _ => Err(unknown("is no field of a pod that can be referred to")),
    }
}

/// `metadata.labels['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// A map as a file of the downward API has it: `key="value"` lines, escaped as Go does.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", quoted(value));
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// Go's `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        // Writing into a String cannot fail.
        let _ = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{b}' => out.write_str("\\v"),
            '\u{c}' => out.write_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
    out
}

/// The value of a resource of a container. `me` is the container that asks; volumes must name one.
pub fn resource(
    containers: &[&Container],
    me: Option<&Container>,
    selector: &ResourceFieldSelector,
    at: &str,
) -> Result<String, Refusal> {
    let ResourceFieldSelector { container_name, divisor, resource } = selector;
    let named = |name: &String| containers.iter().copied().find(|c| c.name == *name);
    let container = match container_name {
        Some(name) if !name.is_empty() => named(name),
        _ => me,
    };
    let container = container.ok_or_else(|| Refusal::new(at, "names no container of the pod"))?;
    let bad = |why: String| Refusal::new(at, why);
    let (side, name) = resource.split_once('.').ok_or_else(|| bad(format!("{resource:?} is no resource")))?;
    let resources = container.resources.as_ref();
    let (own, other) = match side {
        "limits" => (resources.and_then(|r| r.limits.as_ref()), resources.and_then(|r| r.requests.as_ref())),
        "requests" => {
            (resources.and_then(|r| r.requests.as_ref()), resources.and_then(|r| r.limits.as_ref()))
        }
        _ => return Err(bad(format!("{resource:?} is no resource"))),
    };
    // What is not limited could use the whole machine; the job has what it asked for.
    let found = own.and_then(|map| map.get(name)).or_else(|| other.and_then(|map| map.get(name)));
    let value: Quantity = found.map_or("0", |quantity| &quantity.0).parse().map_err(bad)?;
    let divisor: Quantity = match divisor.as_ref().map(|d| d.0.as_str()) {
        None | Some("0" | "") => Quantity::of(1),
        Some(text) => text.parse().map_err(bad)?,
    };
    let units = value.in_units_of(divisor).ok_or_else(|| bad(format!("{resource} has no such value")))?;
    Ok(units.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "n", "namespace": "ns", "uid": "u", "labels": { "a": "x\"y", "b": "2" } },
            "spec": { "nodeName": "node", "containers": [
                { "name": "main", "resources": { "limits": { "cpu": "500m", "memory": "1Gi" } } },
                { "name": "side" }
            ] },
            "status": { "podIP": "10.0.0.1" }
        }))
        .unwrap()
    }

    fn of(path: &str) -> Result<String, Refusal> {
        field(&pod(), &ObjectFieldSelector { api_version: None, field_path: path.to_owned() }, "at")
    }

    #[test]
    fn a_pod_knows_its_own_fields() {
        assert_eq!(of("metadata.name").unwrap(), "n");
        assert_eq!(of("metadata.labels['b']").unwrap(), "2");
        assert_eq!(of("metadata.labels['none']").unwrap(), "");
        assert_eq!(of("metadata.labels").unwrap(), "a=\"x\\\"y\"\nb=\"2\"");
        assert_eq!(of("status.podIP").unwrap(), "10.0.0.1");
        assert_eq!(of("status.hostIP").unwrap_err().to_string(), "at: status.hostIP is not known here");
        assert!(of("spec.containers").is_err() && of("metadata.name['x']").is_err());
    }

    #[test]
    fn a_resource_is_counted_in_its_divisor_and_rounded_up() {
        let pod = pod();
        let spec = pod.spec.as_ref().unwrap();
        let all: Vec<&Container> = spec.containers.iter().collect();
        let of = |resource: &str, divisor: Option<&str>, container: Option<&str>| {
            let selector = json!({ "resource": resource, "divisor": divisor, "containerName": container });
            resource_of(&all, &serde_json::from_value(selector).unwrap())
        };
        fn resource_of(all: &[&Container], s: &ResourceFieldSelector) -> Result<String, Refusal> {
            resource(all, Some(all[0]), s, "at")
        }
        assert_eq!(of("limits.cpu", None, None).unwrap(), "1");
        assert_eq!(of("limits.cpu", Some("1m"), None).unwrap(), "500");
        assert_eq!(of("requests.memory", Some("1Mi"), None).unwrap(), "1024");
        assert_eq!(of("limits.memory", Some("0"), Some("side")).unwrap(), "0");
        assert!(of("limits.cpu", None, Some("none")).is_err() && of("cpu", None, None).is_err());
    }
}
