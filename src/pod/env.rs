//! The environment of a container: `envFrom`, then `env`, each value expanded by what came before it.
//!
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/>

use htc_core::workload::container::EnvVar;
use k8s_openapi::api::core::v1 as k8s;

use super::context::Context;
use super::delivered::{Files, Kind};
use super::downward;
use super::expand::expand;
use super::refusal::{Refusal, refuse};

/// What `execve` takes for one variable or argument, with its terminating NUL: Linux' MAX_ARG_STRLEN.
pub const STRING_MAX: usize = 131_072;

/// The variables of a container in the order in which they are set; no name comes twice.
pub fn variables(
    context: &Context<'_>,
    container: &k8s::Container,
    at: &str,
) -> Result<Vec<EnvVar>, Refusal> {
    let mut variables: Vec<EnvVar> = Vec::new();
    for (n, source) in container.env_from.iter().flatten().enumerate() {
        let at = format!("{at}.envFrom[{n}]");
        for (name, value) in from(context, source, &at)? {
            context.carry(name.len() + value.len(), &at)?;
            set(&mut variables, name, value);
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
            None => Some(expand(value.as_deref().unwrap_or_default(), |name| lookup(&variables, name))),
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
            set(&mut variables, name.clone(), value);
        }
    }
    Ok(variables)
}

/// The value of a variable that was set.
pub fn lookup<'a>(variables: &'a [EnvVar], name: &str) -> Option<&'a str> {
    variables.iter().find(|v| v.name == name).map(|v| v.value.as_str())
}

/// A later value takes the place of an earlier one.
fn set(variables: &mut Vec<EnvVar>, name: String, value: String) {
    variables.retain(|v| v.name != name);
    variables.push(EnvVar { name, value });
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
                continue;
            }
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
