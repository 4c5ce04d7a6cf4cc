//! `projected`: several sources in one folder.
//!
//! <https://kubernetes.io/docs/concepts/storage/projected-volumes/>

use std::collections::{BTreeMap, HashSet};

use htc_core::workload::spec::{File, VolumeSource};
use k8s_openapi::api::core::v1 as k8s;

use super::{downward_api, files, object};
use crate::pod::context::Context;
use crate::pod::delivered::{Files, Kind};
use crate::pod::refusal::{Refusal, refuse};

/// The volume: what the caller has put together for it, or what its sources give.
pub fn volume(
    context: &Context<'_>,
    name: &str,
    source: &k8s::ProjectedVolumeSource,
    at: &str,
) -> Result<VolumeSource, Refusal> {
    let k8s::ProjectedVolumeSource { default_mode, sources } = source;
    let mode = files::mode(default_mode.unwrap_or(files::MODE), at, "defaultMode")?;
    let sources = sources.as_deref().unwrap_or_default();
    let files = match context.delivered.projected.get(name) {
        Some(delivered) => {
            let mut files = as_delivered(context, delivered, sources, mode, at)?;
            secrets(context, sources, mode, at, &mut files)?;
            files
        }
        None => from_sources(context, sources, mode, at)?,
    };
    Ok(VolumeSource::Files(files))
}

/// Only the bytes are delivered: the modes are those that the sources give to their paths.
fn as_delivered(
    context: &Context<'_>,
    delivered: &Files,
    sources: &[k8s::VolumeProjection],
    default_mode: u32,
    at: &str,
) -> Result<Vec<File>, Refusal> {
    let mut modes: BTreeMap<&str, i32> = BTreeMap::new();
    let mut tokens: HashSet<&str> = HashSet::new();
    for source in sources {
        let k8s::VolumeProjection {
            cluster_trust_bundle: _,
            config_map,
            downward_api,
            secret,
            service_account_token,
        } = source;
        let items = config_map.as_ref().and_then(|source| source.items.as_deref()).unwrap_or_default();
        let more = secret.as_ref().and_then(|source| source.items.as_deref()).unwrap_or_default();
        modes.extend(items.iter().chain(more).filter_map(|item| Some((item.path.as_str(), item.mode?))));
        let fields = downward_api.as_ref().and_then(|source| source.items.as_deref()).unwrap_or_default();
        modes.extend(fields.iter().filter_map(|item| Some((item.path.as_str(), item.mode?))));
        tokens.extend(service_account_token.iter().map(|token| token.path.as_str()));
    }
    let file = |(path, data): (&String, &Vec<u8>)| {
        context.carry(path.len() + data.len(), at)?;
        let own = modes.get(path.as_str()).map(|&mode| files::mode(mode, at, "mode")).transpose()?;
        // A token is for its owner alone, whatever the others may read: it lives long.
        let mode = if tokens.contains(path.as_str()) { 0o600 } else { own.unwrap_or(default_mode) };
        Ok(File { path: files::relative(path, at, "path")?, mode, data: data.clone() })
    };
    delivered.iter().map(file).collect()
}

/// Virtual kubelets leave the Secrets out of what they put together. One that another volume brought takes
/// its place; one that is nowhere must not be missing in silence.
fn secrets(
    context: &Context<'_>,
    sources: &[k8s::VolumeProjection],
    mode: u32,
    at: &str,
    files: &mut Vec<File>,
) -> Result<(), Refusal> {
    let others = of_others(sources);
    let is_of_others = |path: &str| others.as_ref().is_none_or(|others| others.contains(path));
    let mut there: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let mut strange = files.iter().any(|file| !is_of_others(&file.path));
    for (n, source) in sources.iter().enumerate() {
        let Some(k8s::SecretProjection { items, name, optional }) = &source.secret else { continue };
        let at = format!("{at}.sources[{n}].secret");
        let is_whole = match items.as_deref().unwrap_or_default() {
            [] => strange,
            items => items.iter().all(|item| there.contains(&item.path)),
        };
        if !is_whole {
            let wanted = object::Wanted { kind: Kind::Secret, name, items, optional: *optional };
            for file in object::of_object(context, &wanted, mode, &at)? {
                if there.insert(file.path.clone()) {
                    strange |= !is_of_others(&file.path);
                    files.push(file);
                }
            }
        }
    }
    Ok(())
}

/// The files that sources which are no Secrets account for; nothing where that may be any.
fn of_others(sources: &[k8s::VolumeProjection]) -> Option<HashSet<&str>> {
    let mut paths = HashSet::new();
    for source in sources {
        paths.extend(source.service_account_token.iter().map(|token| token.path.as_str()));
        paths.extend(source.cluster_trust_bundle.iter().map(|bundle| bundle.path.as_str()));
        let fields = source.downward_api.iter().flat_map(|source| source.items.iter().flatten());
        paths.extend(fields.map(|field| field.path.as_str()));
        if let Some(map) = &source.config_map {
            // Without items it may have any file.
            let items = map.items.as_ref().filter(|items| !items.is_empty())?;
            paths.extend(items.iter().map(|item| item.path.as_str()));
        }
    }
    Some(paths)
}

fn from_sources(
    context: &Context<'_>,
    sources: &[k8s::VolumeProjection],
    mode: u32,
    at: &str,
) -> Result<Vec<File>, Refusal> {
    // A later source wins over an earlier one of the same path.
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        let at = format!("{at}.sources[{n}]");
        let k8s::VolumeProjection {
            cluster_trust_bundle,
            config_map,
            downward_api,
            secret,
            service_account_token,
        } = source;
        if cluster_trust_bundle.is_some() {
            return refuse(&at, "clusterTrustBundle", "did not come with the pod");
        }
        if service_account_token.is_some() {
            return refuse(&at, "serviceAccountToken", "did not come with the pod");
        }
        let mut found = Vec::new();
        if let Some(k8s::ConfigMapProjection { items, name, optional }) = config_map {
            let wanted = object::Wanted { kind: Kind::ConfigMap, name, items, optional: *optional };
            found.extend(object::of_object(context, &wanted, mode, &format!("{at}.configMap"))?);
        }
        if let Some(k8s::SecretProjection { items, name, optional }) = secret {
            let wanted = object::Wanted { kind: Kind::Secret, name, items, optional: *optional };
            found.extend(object::of_object(context, &wanted, mode, &format!("{at}.secret"))?);
        }
        if let Some(k8s::DownwardAPIProjection { items }) = downward_api {
            let items = items.as_deref().unwrap_or_default();
            found.extend(downward_api::of_items(context, items, mode, &format!("{at}.downwardAPI"))?);
        }
        files.extend(found.into_iter().map(|file| (file.path.clone(), file)));
    }
    Ok(files.into_values().collect())
}
