//! apptainer (or singularity): where it is, how it is called, what it complains of.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the sender itself is found in every image.
pub const SENDER: &str = "/.htc-sender";
/// The home of whoever runs in an image: an empty folder of the job, never the account's home, and
/// at a path that no bound file system of the site can cover.
pub const HOME: &str = "/htc_home";

/// Where to look when HTCondor gives no `PATH`, and after it when it does.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The registry of images that name none.
pub const USUAL_REGISTRY: &str = "docker.io";

/// What comes along from the environment of the job: where apptainer may keep things, and how to
/// reach registries. The rest could change what a container sees.
const PASSED: [&str; 12] = [
    "APPTAINER_CACHEDIR",
    "APPTAINER_TMPDIR",
    "SINGULARITY_CACHEDIR",
    "SINGULARITY_TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// A path of the worker, seen in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the worker.
    pub source: PathBuf,
    /// In the image.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// The worker cannot run images.
#[derive(Debug, thiserror::Error)]
#[error("this worker has neither apptainer nor singularity (looked in {0})")]
pub struct NoTool(String);

/// The tool of this worker.
pub fn here() -> Result<PathBuf, NoTool> {
    let path = search_path(std::env::var_os("PATH"));
    find(&path).ok_or_else(|| NoTool(path.to_string_lossy().into_owned()))
}

/// The first of the two tools on the path.
pub fn find(path: &OsStr) -> Option<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    let runs = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let all =
        ["apptainer", "singularity"].into_iter().flat_map(|tool| folders.iter().map(move |f| f.join(tool)));
    all.into_iter().find(runs)
}

/// The arguments that run the sender as first process of an image.
///
/// `folder` holds what the container writes outside its mounts: `/tmp`, `/var/tmp` and its home. In
/// memory (apptainer's default) they would be limited to 64 MiB.
pub fn arguments(image: &Path, binds: &[Bind], folder: &Path, hostname: Option<&str>) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        ["exec", "--contain", "--ipc", "--pid", "--cleanenv", "--writable-tmpfs", "--workdir"]
            .map(Into::into)
            .into();
    args.push(folder.into());
    args.push("--home".into());
    args.push(home(folder));
    if let Some(name) = hostname {
        args.extend(["--hostname", name].map(Into::into));
    }
    for bind in binds {
        args.push("--mount".into());
        args.push(mount(bind));
    }
    args.push(image.into());
    args.extend([SENDER, "init"].map(Into::into));
    args
}

/// The arguments that pull an image into a file. Logins are in another file, never here.
pub fn pull_arguments(image: &str, file: &Path, logins: Option<&Path>, cached: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["pull".into()];
    // Without a place that the site gave it, it would fill the home of the account.
    args.extend((!cached).then(|| "--disable-cache".into()));
    if let Some(logins) = logins {
        args.extend(["--authfile".into(), logins.into()]);
    }
    args.extend([file.into(), image.into()]);
    args
}

/// What apptainer finds in its environment. Features that old releases lack go here, not among the
/// options: an unknown variable does no harm.
pub fn environment(
    scratch: &Path,
    folder: &Path,
    own: impl Fn(&str) -> Option<OsString>,
) -> Vec<(String, OsString)> {
    let mut env = vec![
        ("PATH".to_owned(), search_path(own("PATH"))),
        ("HOME".to_owned(), scratch.into()),
        // Values of an image's variables are data, not shell text.
        ("APPTAINER_NO_EVAL".to_owned(), "1".into()),
        ("SINGULARITY_NO_EVAL".to_owned(), "1".into()),
        // Images are unpacked here before they are cached; /tmp may be small.
        ("APPTAINER_TMPDIR".to_owned(), folder.into()),
        ("SINGULARITY_TMPDIR".to_owned(), folder.into()),
    ];
    env.extend(PASSED.iter().filter_map(|name| Some(((*name).to_owned(), own(name)?))));
    env
}

/// The registry, `host[:port]`, of an image; none of a path.
pub fn registry(image: &str) -> Option<&str> {
    let (_, name) = image.split_once("://")?;
    // As docker has it: without a dot, a port or this one name it is a folder of the usual registry.
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let first = name.split_once('/').map(|(first, _)| first);
    Some(first.filter(|first| is_host(first)).unwrap_or(USUAL_REGISTRY))
}

/// Lets apptainer speak http instead of https with the image's registry.
pub fn plain_http() -> [(String, OsString); 2] {
    ["APPTAINER_NOHTTPS", "SINGULARITY_NOHTTPS"].map(|name| (name.to_owned(), "1".into()))
}

/// The given path, and the usual one behind it.
pub fn search_path(own: Option<OsString>) -> OsString {
    let mut path = own.unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(PATH);
    path
}

fn home(folder: &Path) -> OsString {
    let mut home = folder.join("home").into_os_string();
    home.push(":");
    home.push(HOME);
    home
}

/// What lies below `/dev`, as memory does, is mounted below `/dev` (a pod's own `/dev/shm`) only where
/// it does not look like it: else apptainer skips it with a warning.
fn target(path: &str) -> String {
    let slash = if path.starts_with("/dev/") { "/" } else { "" };
    format!("{slash}{path}")
}

/// The option's value is a line of CSV, so any path can be quoted, with its commas and colons.
fn mount(bind: &Bind) -> OsString {
    let field = |key: &str, value: &OsStr| {
        let mut field = OsString::from(format!("\"{key}="));
        for (n, part) in value.as_encoded_bytes().split(|b| *b == b'"').enumerate() {
            if n > 0 {
                field.push("\"\"");
            }
            field.push(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(part));
        }
        field.push("\"");
        field
    };
    let mut text = OsString::from("type=bind,");
    text.push(field("source", bind.source.as_os_str()));
    text.push(",");
    text.push(field("destination", OsStr::new(&target(&bind.target))));
    if bind.read_only {
        text.push(",ro");
    }
    text
}

/// A complaint is cut here, in bytes: it becomes a message of a report.
const COMPLAINT_MAX: usize = 1024;

/// The sentence that tells why apptainer gave up: its `FATAL` lines, else the last ones.
pub fn complaint(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim).filter(|l| !l.is_empty() && !is_chatter(l)).collect();
    let fatal: Vec<_> = lines.iter().filter_map(|l| l.strip_prefix("FATAL:")).map(str::trim).collect();
    let said = if fatal.is_empty() { &lines[lines.len().saturating_sub(3)..] } else { &fatal[..] };
    let mut said = said.join("\n");
    said.truncate(said.floor_char_boundary(COMPLAINT_MAX));
    said
}

fn is_chatter(line: &str) -> bool {
    ["INFO:", "WARNING:", "VERBOSE:", "DEBUG:"].iter().any(|level| line.starts_with(level))
}

/// Whether the complaint is about the image, and not about the worker.
pub fn is_about_image(complaint: &str) -> bool {
    let complaint = complaint.to_lowercase();
    [" uri:", "image", "manifest", "registry"].iter().any(|word| complaint.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_quoted_whatever_its_path_is() {
        let bind =
            |source: &str, read_only| Bind { source: source.into(), target: "/t".to_owned(), read_only };
        assert_eq!(mount(&bind("/a", false)), r#"type=bind,"source=/a","destination=/t""#);
        assert_eq!(mount(&bind("/a,b:\"c\"", true)), r#"type=bind,"source=/a,b:""c""","destination=/t",ro"#);
    }

    #[test]
    fn the_complaint_is_what_was_fatal() {
        let output = "INFO:    Starting build...\nFATAL:   Unable to handle docker://no/such uri: denied\n";
        assert_eq!(complaint(output), "Unable to handle docker://no/such uri: denied");
        assert!(is_about_image(&complaint(output)));
        assert_eq!(complaint("WARNING: x\na\nb\nc\nd\n"), "b\nc\nd");
        assert!(!is_about_image("container creation failed: mount hook function failure"));
    }

    #[test]
    fn the_registry_is_the_host_that_an_image_names_or_the_usual_one() {
        assert_eq!(registry("docker://reg.example:5000/a/b:1"), Some("reg.example:5000"));
        assert_eq!(registry("oras://localhost/x"), Some("localhost"));
        for usual in ["docker://centos", "docker://library/centos", "docker://centos:7"] {
            assert_eq!(registry(usual), Some("docker.io"), "{usual}");
        }
        assert_eq!(registry("/cvmfs/a.b/x"), None);
    }

    #[test]
    fn the_tool_is_found_by_its_right_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let tool = folder.path().join("singularity");
        fs::write(&tool, "").unwrap();
        assert_eq!(find(folder.path().as_os_str()), None);
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(folder.path().as_os_str()), Some(tool));
    }

    #[test]
    fn only_what_apptainer_needs_comes_along() {
        let own = |name: &str| (name != "PATH").then(|| OsString::from("/own"));
        let env = environment(Path::new("/s"), Path::new("/s/f"), own);
        let value = |name: &str| env.iter().rfind(|(n, _)| n == name).map(|(_, v)| v.to_str().unwrap());
        assert_eq!(value("PATH"), Some(PATH));
        assert_eq!(value("APPTAINER_CACHEDIR"), Some("/own"));
        assert_eq!(value("APPTAINER_BIND"), None);
    }
}
