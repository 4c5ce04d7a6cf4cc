//! The environment of a container: `envFrom`, then `env`, each value expanded by what came before it.
//!
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/>

use std::collections::HashMap;

use htc_core::workload::container::EnvVar;
use k8s_openapi::api::core::v1 as k8s;

use super::context::Context;
use super::delivered::{Files, Kind};
use super::downward;
use super::expand::expand;
use super::refusal::{Refusal, refuse};

/// What `execve` takes for one variable or argument, with its terminating NUL: Linux' MAX_ARG_STRLEN.
pub const STRING_MAX: usize = 131_072;

/// The variables of a container. There may be hundreds of thousands.
#[derive(Debug, Default)]
pub struct Variables {
    /// Nothing where a later value has taken the place of an earlier one.
    list: Vec<Option<EnvVar>>,
    places: HashMap<String, usize>,
}

impl Variables {
    /// The value of a variable that was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list[*self.places.get(name)?].as_ref().map(|variable| variable.value.as_str())
    }

    /// In the order in which they are set; no name comes twice.
    pub fn into_list(self) -> Vec<EnvVar> {
        self.list.into_iter().flatten().collect()
    }

    /// The later value counts, and stands where it was set.
    fn set(&mut self, name: String, value: String) {
        if let Some(earlier) = self.places.insert(name.clone(), self.list.len()) {
            self.list[earlier] = None;
        }
        self.list.push(Some(EnvVar { name, value }));
    }
}

/// The variables that a container shall have.
pub fn variables(context: &Context<'_>, container: &k8s::Container, at: &str) -> Result<Variables, Refusal> {
    let mut variables = Variables::default();
    for (n, source) in container.env_from.iter().flatten().enumerate() {
        let at = format!("{at}.envFrom[{n}]");
        for (name, value) in from(context, source, &at)? {
            variables.set(name, value);
        }
    }
    for (n, variable) in container.env.iter().flatten().enumerate() {
        let at = format!("{at}.env[{n}]");
        // No `..`: a field that is forgotten here would be lost.
        let k8s::EnvVar { name, value, value_from } = variable;
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse(&at, "name", format!("{name:?} cannot be the name of a variable"));
        }
        let value = match value_from {
            None => Some(expand(value.as_deref().unwrap_or_default(), |name| variables.get(name))),
            Some(source) => selected(context, container, source, &format!("{at}.valueFrom"))?,
        };
        if let Some(value) = value {
            if value.contains('\0') {
                return refuse(&at, "value", "must not hold a NUL character");
            }
            if name.len() + value.len() + 2 > STRING_MAX {
                let most = STRING_MAX - 1;
                return refuse(
                    &at,
                    "value",
                    format!("is too long: with its name and = at most {most} bytes"),
                );
            }
            context.carry(name.len() + value.len(), &at)?;
            variables.set(name.clone(), value);
        }
    }
    Ok(variables)
}

fn from(
    context: &Context<'_>,
    source: &k8s::EnvFromSource,
    at: &str,
) -> Result<Vec<(String, String)>, Refusal> {
    let k8s::EnvFromSource { config_map_ref, prefix, secret_ref } = source;
    let prefix = prefix.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    let references = [
        (Kind::ConfigMap, config_map_ref.as_ref().map(|r| (&r.name, r.optional)), "configMapRef"),
        (Kind::Secret, secret_ref.as_ref().map(|r| (&r.name, r.optional)), "secretRef"),
    ];
    for (kind, reference, field) in references {
        let Some((name, optional)) = reference else { continue };
        let at = format!("{at}.{field}.name");
        let object = context.delivered.object(kind, name, optional.unwrap_or(false), &at)?;
        for (key, bytes) in object.into_iter().flatten() {
            let name = format!("{prefix}{key}");
            // The kubelet leaves out what can be no name, and what can be no value.
            if name.is_empty() || name.contains(['=', '\0']) || name.len() + bytes.len() + 2 > STRING_MAX {
                // An object with nothing but such keys could be named any number of times.
                context.carry(name.len() + 1, &at)?;
                continue;
            }
            context.carry(name.len() + bytes.len(), &at)?;
            if let Ok(value) = text(bytes, &at) {
                found.push((name, value));
            }
        }
    }
    Ok(found)
}

/// The value that a `valueFrom` selects; none when it is optional and not there.
fn selected(
    context: &Context<'_>,
    container: &k8s::Container,
    source: &k8s::EnvVarSource,
    at: &str,
) -> Result<Option<String>, Refusal> {
    let k8s::EnvVarSource { config_map_key_ref, field_ref, resource_field_ref, secret_key_ref } = source;
    if let Some(selector) = field_ref {
        return downward::field(context.pod, selector, &format!("{at}.fieldRef")).map(Some);
    }
    if let Some(selector) = resource_field_ref {
        let at = format!("{at}.resourceFieldRef");
        return downward::resource(&context.containers(), Some(container), selector, &at).map(Some);
    }
    if let Some(k8s::ConfigMapKeySelector { key, name, optional }) = config_map_key_ref {
        return keyed(context, Kind::ConfigMap, (name, key), *optional, &format!("{at}.configMapKeyRef"));
    }
    if let Some(k8s::SecretKeySelector { key, name, optional }) = secret_key_ref {
        return keyed(context, Kind::Secret, (name, key), *optional, &format!("{at}.secretKeyRef"));
    }
    Err(Refusal::new(at, "names no source of a value"))
}

fn keyed(
    context: &Context<'_>,
    kind: Kind,
    (name, key): (&str, &str),
    optional: Option<bool>,
    at: &str,
) -> Result<Option<String>, Refusal> {
    let optional = optional.unwrap_or(false);
    let object = context.delivered.object(kind, name, optional, &format!("{at}.name"))?;
    let bytes = object.and_then(|files: &Files| files.get(key));
    match bytes {
        Some(bytes) => text(bytes, at).map(Some),
        None if optional => Ok(None),
        None => refuse(at, "key", format!("the {} {name:?} has no key {key:?}", kind.word())),
    }
}

fn text(bytes: &[u8], at: &str) -> Result<String, Refusal> {
    let text = String::from_utf8(bytes.to_vec());
    let text =
        text.map_err(|_| Refusal::new(at, "is no UTF-8 text, which the value of a variable must be"))?;
    match text.contains('\0') {
        true => Err(Refusal::new(at, "holds a NUL character, which no variable can")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::pod::delivered::Delivered;
    use crate::pod::{Settings, translate};

    fn env(delivered: &Delivered, container: &Value) -> Result<Vec<EnvVar>, Refusal> {
        let pod = json!({ "spec": { "restartPolicy": "Never", "containers": [container] } });
        let pod: k8s::Pod = serde_json::from_value(pod).unwrap();
        translate(&pod, delivered, &Settings::default()).map(|mut all| all.workload.containers.remove(0).env)
    }

    fn map<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Delivered {
        let mut delivered = Delivered::default();
        let keys: BTreeMap<_, _> = keys.into_iter().collect();
        let map = json!({ "metadata": { "name": "map" }, "data": keys });
        delivered.add_config_map(serde_json::from_value(map).unwrap());
        delivered
    }

    #[test]
    fn the_later_value_counts_and_stands_where_it_was_set() {
        let delivered = map([("A", "map"), ("B", "map")]);
        let container = json!({
            "name": "c",
            "image": "i",
            "envFrom": [{ "configMapRef": { "name": "map" } }],
            "env": [{ "name": "C", "value": "$(A)" }, { "name": "A", "value": "1" }, { "name": "A", "value": "$(A)2" }],
        });
        let env = env(&delivered, &container).unwrap();
        let pairs: Vec<_> = env.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
        assert_eq!(pairs, [("B", "map"), ("C", "map"), ("A", "12")]);
    }

    /// Where each variable is compared with each this takes many minutes.
    #[test]
    fn a_pod_may_have_as_many_variables_as_there_is_room_for() {
        const COUNT: usize = 60_000;
        let names: Vec<String> = (0..COUNT).map(|n| format!("V{n}")).collect();
        let delivered = map(names.iter().map(|name| (name.as_str(), "")));
        let set: Vec<Value> =
            names.iter().map(|n| json!({ "name": n, "value": format!("$({n})$(none)") })).collect();
        let args: Vec<String> = names.iter().map(|name| format!("$({name})")).collect();
        let container = json!({
            "name": "c",
            "image": "i",
            "envFrom": [{ "configMapRef": { "name": "map" } }],
            "env": set,
            "args": args,
        });
        let env = env(&delivered, &container).unwrap();
        assert_eq!(env.len(), COUNT);
        assert!(env.iter().zip(&names).all(|(v, name)| v.name == *name && v.value == "$(none)"));
    }

    #[test]
    fn keys_that_are_no_names_are_looked_at_a_bounded_number_of_times() {
        let keys: Vec<String> = (0..100_000).map(|n| format!("={n}")).collect();
        let delivered = map(keys.iter().map(|key| (key.as_str(), "")));
        let from = vec![json!({ "configMapRef": { "name": "map" } }); 100_000];
        let why = env(&delivered, &json!({ "name": "c", "image": "i", "envFrom": from })).unwrap_err();
        assert!(why.to_string().ends_with("each copy counted"), "{why}");
    }
}
