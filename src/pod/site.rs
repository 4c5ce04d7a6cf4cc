//! `host:<site>`: a script of the operator's settings that runs on the worker, with the site's name as
//! its argument.

use htc_core::workload::container::{Arg, Mount, Program};
use htc_core::workload::spec::{File, Volume, VolumeSource};

use super::Settings;
use super::containers::Words;
use super::refusal::{Refusal, refuse};

/// The file's name, and where the container has it.
const SCRIPT: &str = "script";
const PLACE: &str = "/htc_site";

/// What the container of a site runs, and the mount that it needs.
pub(super) fn program(site: &str, words: &Words<'_>) -> Result<(Program, Mount), Refusal> {
    for (field, given) in [("command", words.command), ("args", words.args)] {
        if given.is_some_and(|given| !given.is_empty()) {
            return refuse(words.at, field, "the image host:<site> runs the site's own script, nothing else");
        }
    }
    let mount = Mount {
        volume: volume_name(site),
        path: PLACE.to_owned(),
        sub_path: Some(SCRIPT.to_owned()),
        read_only: true,
    };
    Ok((Program::Words(vec![Arg::Mount(PLACE.to_owned()), Arg::Text(site.to_owned())]), mount))
}

/// The volumes with the scripts of these mounts.
pub(super) fn volumes<'a>(settings: &Settings, mounts: impl Iterator<Item = &'a Mount>) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for mount in mounts {
        let site = settings.site_scripts.iter().find(|(site, _)| volume_name(site) == mount.volume);
        if let Some((_, script)) = site
            && volumes.iter().all(|volume| volume.name != mount.volume)
        {
            let file = File { path: SCRIPT.to_owned(), mode: 0o555, data: script.clone() };
            volumes.push(Volume { name: mount.volume.clone(), source: VolumeSource::Files(vec![file]) });
        }
    }
    volumes
}

/// No volume of a pod has a colon in its name.
fn volume_name(site: &str) -> String {
    format!("host:{site}")
}
