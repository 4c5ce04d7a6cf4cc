//! What a site decides about pods.

use std::path::PathBuf;

use clap::Args;

use super::path;

/// What a site decides about pods.
#[derive(Args, Clone, Debug)]
pub struct PodSettings {
    /// Cores of a pod that asks for none.
    #[arg(long, env = "HTC_POD_CPUS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub pod_cpus: u64,

    /// MiB of memory of a pod that asks for none.
    #[arg(long, env = "HTC_POD_MEMORY_MIB", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub pod_memory_mib: u64,

    /// MiB of disk of a pod that asks for none.
    #[arg(long, env = "HTC_POD_DISK_MIB", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub pod_disk_mib: u64,

    /// Paths of the workers that a hostPath of a pod may be or lie below, separated by commas.
    #[arg(long, env = "HTC_POD_HOST_PATHS", value_delimiter = ',', default_value = "/cvmfs",
          value_parser = absolute)]
    pub pod_host_paths: Vec<String>,

    /// Claims and the paths under which workers see them, `namespace/name=/path`, separated by commas.
    #[arg(long, env = "HTC_POD_CLAIMS", value_delimiter = ',', value_parser = claim)]
    pub pod_claims: Vec<(String, String)>,

    /// Namespaces whose pods may use the image `host`, which runs on the worker without a container, separated
    /// by commas; `*` for all.
    #[arg(long, env = "HTC_POD_HOST_IMAGE_NAMESPACES", value_delimiter = ',', default_value = "*")]
    pub pod_host_image_namespaces: Vec<String>,

    /// Paths of the workers that a pod's image may be or lie below, links followed, separated by commas; `/`
    /// for any path.
    #[arg(long, env = "HTC_POD_IMAGE_PATHS", value_delimiter = ',', default_value = "/", value_parser = path)]
    pub pod_image_paths: Vec<String>,

    /// The scripts that the images `host:<site>` run on the worker, `site=/file`, separated by commas.
    #[arg(long, env = "HTC_SITE_SCRIPTS", value_delimiter = ',', value_parser = site_script)]
    pub site_scripts: Vec<(String, PathBuf)>,
}

fn absolute(path: &str) -> Result<String, &'static str> {
    let path = path.trim_end_matches('/');
    match path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        true => Ok(path.to_owned()),
        false => Err("it must be an absolute path, and not the root itself"),
    }
}

fn claim(text: &str) -> Result<(String, String), &'static str> {
    let (name, path) = text.split_once('=').ok_or("it must be namespace/name=/path")?;
    match name.split('/').collect::<Vec<_>>()[..] {
        [namespace, claim] if !namespace.is_empty() && !claim.is_empty() => {
            Ok((name.to_owned(), absolute(path)?))
        }
        _ => Err("it must be namespace/name=/path"),
    }
}

fn site_script(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((site, file)) if !site.is_empty() && !file.is_empty() => Ok((site.to_owned(), file.into())),
        _ => Err("it must be site=/file"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        pods: PodSettings,
    }

    fn parse(words: &[&str]) -> Result<PodSettings, clap::Error> {
        Line::try_parse_from([&["htc-operator"], words].concat()).map(|line| line.pods)
    }

    #[test]
    fn claims_paths_and_scripts_are_read() {
        let words = [
            "--pod-claims=demo/data=/eos/demo/,demo/home=/home",
            "--pod-host-paths=/cvmfs,/eos/public",
            "--site-scripts=T2_XY=/etc/xy.sh",
            "--pod-cpus=4",
        ];
        let pods = parse(&words).unwrap();
        let claim = |name: &str, path: &str| (name.to_owned(), path.to_owned());
        assert_eq!(pods.pod_claims, [claim("demo/data", "/eos/demo"), claim("demo/home", "/home")]);
        assert_eq!(pods.pod_host_paths, ["/cvmfs", "/eos/public"]);
        assert_eq!(pods.site_scripts, [("T2_XY".to_owned(), PathBuf::from("/etc/xy.sh"))]);
        assert_eq!((pods.pod_cpus, pods.pod_memory_mib, pods.pod_disk_mib), (4, 2_000, 1_000));
    }

    #[test]
    fn what_is_no_claim_no_path_and_no_script_is_refused() {
        for bad in [
            "--pod-claims=data=/eos",
            "--pod-claims=a/b/c=/eos",
            "--pod-claims=a/b=eos",
            "--pod-claims=a/b",
            "--pod-host-paths=/",
            "--pod-host-paths=/cvmfs/../etc",
            "--pod-host-paths=cvmfs",
            "--site-scripts=T2_XY",
            "--pod-cpus=0",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
