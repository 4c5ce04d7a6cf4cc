//! HTCJob → Workload. What the schema does not check is checked here; a refusal names the field.

use htc_core::workload::Workload;
use htc_core::workload::container::{Arg, Container, EnvVar, Mount, Program, Pull};
use htc_core::workload::spec::{File, HostKind, Volume, VolumeSource};
use thiserror::Error;

use super::types::{HTCJobSpec, Script};
use crate::config::{IMAGE_PATHS, SITE_FOLDERS};
use crate::engine::{SiteAttributes, parse_submit_options};
use crate::limits::{COMMAND_MAX, IMAGE_MAX, NAME_MAX, QUEUE_MAX, SOURCE_MAX};
use crate::pod::{Allowed, image, in_brief};

/// The working folder in the container; it comes home to `TEMP_DIR/work`.
const RUN: &str = "/htc_run";
/// The script in the container, outside the working folder.
const SCRIPT: &str = "/htc_script";
/// Seconds between SIGTERM and SIGKILL, as pods have by default.
const GRACE_SECONDS: u32 = 30;

/// Why an HTCJob is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {why}")]
pub struct Refusal {
    field: &'static str,
    why: String,
}

/// What a site says of all HTCJobs.
#[derive(Clone, Debug)]
pub struct Site {
    /// The registry of images that are plain names.
    pub image_registry: Option<String>,
    /// Which attributes `htcopts` may set.
    pub attributes: SiteAttributes,
    /// Which images besides those of registries.
    pub images: Allowed,
    /// Whether jobs of the predecessor are followed that only an object's status names.
    pub inherits_from_status: bool,
    /// Folders of the workers that every container sees where its worker has them.
    pub folders: Vec<String>,
}

impl Default for Site {
    /// As the settings are where a site sets none.
    fn default() -> Site {
        let list = |list: &str| list.split(',').map(str::to_owned).collect();
        Site {
            image_registry: None,
            attributes: SiteAttributes::default(),
            images: Allowed { host: Vec::new(), paths: list(IMAGE_PATHS) },
            inherits_from_status: false,
            folders: list(SITE_FOLDERS),
        }
    }
}

/// The work that an HTCJob of this namespace describes.
pub fn translate(spec: &HTCJobSpec, namespace: &str, site: &Site) -> Result<Workload, Refusal> {
    // No `..`: a field that is forgotten here would be dropped in silence.
    let HTCJobSpec { name, script, queue, htcopts } = spec;
    let Script { image, command, source, queue: script_queue } = script;
    let refuse = |field, why: &dyn std::fmt::Display| Refusal { field, why: in_brief(why.to_string()) };
    if name.is_empty() || name.contains('\0') {
        return Err(refuse("spec.name", &"must not be empty"));
    }
    check_sizes(spec)?;
    let image = image::reference(image, site.image_registry.as_deref())
        .and_then(|image| site.images.check(image, namespace))
        .map_err(|why| refuse("spec.script.image", &why))?;
    let container = Container {
        name: "main".to_owned(),
        image,
        program: argv(command).map(Program::Words).map_err(|why| refuse("spec.script.command", &why))?,
        env: vec![EnvVar { name: "JOB_NAME".to_owned(), value: name.clone() }],
        working_dir: Some(Arg::Mount(RUN.to_owned())),
        mounts: mounts(&site.folders),
        pull: Pull::IfNotPresent,
        termination_message: None,
    };
    let submit = parse_submit_options(htcopts.as_deref().unwrap_or(""), &site.attributes);
    Ok(Workload {
        name: name.clone(),
        indices: indices(*queue, *script_queue)?,
        init_containers: Vec::new(),
        containers: vec![container],
        volumes: volumes(source, &site.folders),
        grace_seconds: GRACE_SECONDS,
        folder_variable: Some("TEMP_DIR".to_owned()),
        restart_after_eviction: true,
        deadline_seconds: None,
        hostname: None,
        registries: Vec::new(),
        image_paths: site.images.prefixes(),
        submit: submit.map_err(|why| refuse("spec.htcopts", &why))?,
    })
}

/// Each object is held in memory and written into a file of each of its jobs.
fn check_sizes(spec: &HTCJobSpec) -> Result<(), Refusal> {
    let Script { image, command, source, queue: _ } = &spec.script;
    let source_advice = "; keep what is larger in the image, on CVMFS or in a folder that the workers see";
    for (field, text, most, advice) in [
        ("spec.name", &spec.name, NAME_MAX, ""),
        ("spec.script.image", image, IMAGE_MAX, ""),
        ("spec.script.command", command, COMMAND_MAX, "; put the rest into spec.script.source"),
        ("spec.script.source", source, SOURCE_MAX, source_advice),
    ] {
        if text.len() > most {
            let why = format!("has {} bytes, and at most {most} are allowed{advice}", text.len());
            return Err(Refusal { field, why });
        }
    }
    Ok(())
}

fn indices(queue: Option<i64>, script_queue: Option<i64>) -> Result<u32, Refusal> {
    let (field, queue) = match (queue, script_queue) {
        (Some(_), Some(_)) => {
            let why = "is set as well as spec.queue; set only one of them".to_owned();
            return Err(Refusal { field: "spec.script.queue", why });
        }
        (None, Some(queue)) => ("spec.script.queue", queue),
        (queue, None) => ("spec.queue", queue.unwrap_or(1)),
    };
    match u32::try_from(queue) {
        Ok(queue) if (1..=QUEUE_MAX).contains(&queue) => Ok(queue),
        _ => Err(Refusal { field, why: format!("must be from 1 to {QUEUE_MAX}, not {queue}") }),
    }
}

/// The words of `command`, then the script's path and the index.
fn argv(command: &str) -> Result<Vec<Arg>, String> {
    let words = shlex::split(command).ok_or("has a quote that does not end")?;
    if words.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if command.contains('\0') {
        return Err("must not hold a NUL character".to_owned());
    }
    let words = words.into_iter().map(Arg::Text);
    Ok(words.chain([Arg::Mount(SCRIPT.to_owned()), Arg::Index]).collect())
}

fn mounts(folders: &[String]) -> Vec<Mount> {
    let mount = |volume: &str, path: &str, sub_path: Option<&str>, read_only| Mount {
        volume: volume.to_owned(),
        path: path.to_owned(),
        sub_path: sub_path.map(str::to_owned),
        read_only,
    };
    let ours = [mount("work", RUN, None, false), mount("script", SCRIPT, Some("script"), true)];
    let site = folders.iter().map(|path| mount(&path[1..], path, None, false));
    ours.into_iter().chain(site).collect()
}

fn volumes(source: &str, folders: &[String]) -> Vec<Volume> {
    let script = File { path: "script".to_owned(), mode: 0o555, data: source.as_bytes().to_vec() };
    let volume = |name: &str, source| Volume { name: name.to_owned(), source };
    let ours = [volume("work", VolumeSource::Work), volume("script", VolumeSource::Files(vec![script]))];
    let site = folders.iter().map(|path| {
        volume(
            &path[1..],
            VolumeSource::Host { path: path.clone(), optional: true, kind: HostKind::Any, below: Vec::new() },
        )
    });
    ours.into_iter().chain(site).collect()
}

#[cfg(test)]
mod tests {
    use htc_core::workload::container::Image;

    use super::*;

    fn spec() -> HTCJobSpec {
        HTCJobSpec {
            name: "zero".into(),
            script: Script {
                image: "centos".into(),
                command: "bash".into(),
                source: "echo \"A\"\n".into(),
                queue: None,
            },
            queue: None,
            htcopts: None,
        }
    }

    fn refused(change: impl FnOnce(&mut HTCJobSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        translate(&spec, "n", &Site::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_command_gets_the_script_and_the_index() {
        let mut spec = spec();
        spec.script.command = "python3 -u 'a b'".into();
        let workload = translate(&spec, "n", &Site::default()).unwrap();
        let expected = [
            Arg::from("python3"),
            Arg::from("-u"),
            Arg::from("a b"),
            Arg::Mount("/htc_script".into()),
            Arg::Index,
        ];
        assert_eq!(workload.containers[0].program, Program::Words(expected.to_vec()));
        assert_eq!(workload.indices, 1);
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert!(refused(|s| s.name.clear()).starts_with("spec.name: "));
        assert!(refused(|s| s.queue = Some(0)).starts_with("spec.queue: "));
        assert!(refused(|s| s.script.queue = Some(20_001)).starts_with("spec.script.queue: "));
        assert!(refused(|s| { (s.queue, s.script.queue) = (Some(1), Some(1)) }).contains("only one"));
        assert!(refused(|s| s.script.command = "bash 'x".into()).starts_with("spec.script.command: "));
        assert!(refused(|s| s.script.command = " ".into()).starts_with("spec.script.command: "));
        assert!(refused(|s| s.htcopts = Some("queue 5".into())).starts_with("spec.htcopts: line 1 "));
    }

    #[test]
    fn the_worker_itself_and_paths_of_its_disk_are_refused_unless_the_site_allows_them() {
        let why = refused(|s| s.script.image = "host".into());
        assert!(why.starts_with("spec.script.image: `host`") && why.contains("\"n\""), "{why}");
        for image in ["/", "/etc", "/cvmfs/../etc", "//tmp/x.sif"] {
            assert!(refused(|s| s.script.image = image.into()).starts_with("spec.script.image: "), "{image}");
        }
        let mut spec = spec();
        spec.script.image = "//cvmfs/./x".into();
        let workload = translate(&spec, "n", &Site::default()).unwrap();
        assert_eq!(workload.containers[0].image, Image::Apptainer("/cvmfs/x".into()));
        assert_eq!(workload.image_paths, ["/cvmfs"], "the worker follows links");
        spec.script.image = "host".into();
        let mut site = Site::default();
        site.images.host = vec!["n".into()];
        assert!(translate(&spec, "n", &site).is_ok() && translate(&spec, "m", &site).is_err());
    }

    #[test]
    fn what_is_too_long_is_refused_in_words() {
        let why = refused(|s| s.script.source = "x".repeat(SOURCE_MAX + 1));
        assert!(why.starts_with("spec.script.source: has 262145 bytes, and at most 262144"), "{why}");
        assert!(
            refused(|s| s.script.command = "x".repeat(COMMAND_MAX + 1)).starts_with("spec.script.command: ")
        );
        assert!(refused(|s| s.script.image = "x".repeat(IMAGE_MAX + 1)).starts_with("spec.script.image: "));
        assert!(refused(|s| s.name = "x".repeat(NAME_MAX + 1)).starts_with("spec.name: "));
        let mut spec = spec();
        spec.script.source = "x".repeat(SOURCE_MAX);
        assert!(translate(&spec, "n", &Site::default()).is_ok());
    }

    #[test]
    fn a_container_sees_the_folders_of_the_site_and_no_others() {
        let site = Site { folders: vec!["/cvmfs".into(), "/eos/user".into()], ..Site::default() };
        let workload = translate(&spec(), "n", &site).unwrap();
        let host: Vec<&str> = workload
            .volumes
            .iter()
            .filter_map(|v| match &v.source {
                VolumeSource::Host { path, .. } => Some(path.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(host, ["/cvmfs", "/eos/user"]);
        assert_eq!(workload.containers[0].mounts.len(), 4);
    }

    #[test]
    fn the_source_reaches_the_job_byte_for_byte() {
        let mut spec = spec();
        spec.script.source = "a'b\"c`d$e\\\u{1}\u{ff}\u{1f600}".into();
        let workload = translate(&spec, "n", &Site::default()).unwrap();
        let VolumeSource::Files(files) = &workload.volumes[1].source else { panic!() };
        assert_eq!(files[0].data, spec.script.source.as_bytes());
    }
}
