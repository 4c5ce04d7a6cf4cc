//! A container of a pod → one of ours.

use htc_core::workload::container::{Arg, Container, Image, Mount, Program, Pull, TerminationMessage};
use k8s_openapi::api::core::v1 as k8s;

use super::context::Context;
use super::env::{self, STRING_MAX, Variables};
use super::expand::expand;
use super::image::{self, Meaning};
use super::refusal::{Refusal, refuse};
use super::{fields, site, volumes};

/// Where a container leaves its last words unless the pod says otherwise.
const LAST_WORDS: &str = "/dev/termination-log";

/// Translates the container at the path `at`.
pub fn translate(
    context: &Context<'_>,
    container: &k8s::Container,
    at: &str,
    notes: &mut Vec<String>,
) -> Result<Container, Refusal> {
    fields::check(fields::CONTAINER, container, at, notes)?;
    // No `..`: a new field of the API must find its place in the table and, if it is carried, here.
    let k8s::Container {
        args,
        command,
        env: _,
        env_from: _,
        image,
        image_pull_policy,
        lifecycle: _,
        liveness_probe: _,
        name,
        ports: _,
        readiness_probe: _,
        resize_policy: _,
        resources: _, // of the whole pod, see `resources`
        restart_policy: _,
        security_context,
        startup_probe: _,
        stdin: _,
        stdin_once: _,
        termination_message_path,
        termination_message_policy,
        tty: _,
        volume_devices: _,
        volume_mounts,
        working_dir,
    } = container;
    check_name(name, at)?;
    check_security(security_context.as_ref(), &format!("{at}.securityContext"), notes)?;
    let env = env::variables(context, container, at)?;
    let image = image.as_deref().unwrap_or_default();
    let meaning = image::parse(image, context.namespace(), context.settings, &format!("{at}.image"))?;
    let words = Words { context, command: command.as_deref(), args: args.as_deref(), env: &env, at };
    let mounts = volumes::mounts(context, volume_mounts.as_deref().unwrap_or_default(), &env, at)?;
    let (image, program, mounts) = match meaning {
        Meaning::Site(site) => {
            let (program, mount) = site::program(&site, &words)?;
            no_mounts(&mounts, at, notes);
            (Image::Host, program, vec![mount])
        }
        Meaning::Image(Image::Host) => {
            no_mounts(&mounts, at, notes);
            (Image::Host, words.on_the_worker()?, Vec::new())
        }
        Meaning::Image(image) => (image, words.in_image()?, mounts),
    };
    let path = termination_message_path.as_deref().filter(|path| !path.is_empty());
    let message = TerminationMessage {
        path: path.unwrap_or(LAST_WORDS).to_owned(),
        fallback_to_logs: termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
    };
    Ok(Container {
        name: name.clone(),
        pull: pull(image_pull_policy.as_deref(), at)?,
        termination_message: (image != Image::Host).then_some(message),
        image,
        program,
        working_dir: working_dir.clone().filter(|folder| !folder.is_empty()).map(Arg::Text),
        env: env.into_list(),
        mounts,
    })
}

/// The words of a container's command line, before they are expanded.
pub(super) struct Words<'a> {
    pub context: &'a Context<'a>,
    pub command: Option<&'a [String]>,
    pub args: Option<&'a [String]>,
    pub env: &'a Variables,
    /// The path of the container.
    pub at: &'a str,
}

impl Words<'_> {
    /// `command` takes the place of the image's entry point, `args` of its arguments.
    fn in_image(&self) -> Result<Program, Refusal> {
        let args = self.expanded(self.args, "args")?;
        Ok(match self.expanded(self.command, "command")? {
            command if command.is_empty() => Program::EntryPoint(args),
            command => Program::Words([command, args].concat()),
        })
    }

    fn on_the_worker(&self) -> Result<Program, Refusal> {
        match self.in_image()? {
            Program::EntryPoint(_) => refuse(self.at, "command", "an image `host` has no program of its own"),
            program => Ok(program),
        }
    }

    fn expanded(&self, words: Option<&[String]>, field: &str) -> Result<Vec<Arg>, Refusal> {
        let mut all = 0;
        let word = |(n, word): (usize, &String)| {
            let word = expand(word, |name| self.env.get(name));
            let field = format!("{field}[{n}]");
            all += word.len() + 1;
            if all > WORDS_MAX {
                return refuse(self.at, &field, format!("makes {WORDS_MAX} bytes and more together"));
            }
            self.context.carry(word.len(), self.at)?;
            if word.contains('\0') {
                return refuse(self.at, &field, "must not hold a NUL character");
            }
            if word.len() + 1 > STRING_MAX {
                return refuse(self.at, &field, format!("is too long: at most {} bytes", STRING_MAX - 1));
            }
            Ok(Arg::Text(word))
        };
        words.unwrap_or_default().iter().enumerate().map(word).collect()
    }
}

/// A process takes no more words and variables together, in bytes.
/// <https://man7.org/linux/man-pages/man2/execve.2.html>
const WORDS_MAX: usize = 2 << 20;

/// Names become parts of file names.
fn check_name(name: &str, at: &str) -> Result<(), Refusal> {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !name.is_empty() && name.len() <= 63 && name.chars().all(label) {
        true => Ok(()),
        false => refuse(at, "name", format!("{name:?} is no name of a container")),
    }
}

fn check_security(
    security: Option<&k8s::SecurityContext>,
    at: &str,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    let Some(security) = security else { return Ok(()) };
    fields::check(fields::SECURITY, security, at, notes)?;
    if security.privileged == Some(true) {
        return refuse(at, "privileged", "no container has privileges on a worker");
    }
    let added = security.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
    match added.is_some_and(|added| !added.is_empty()) {
        true => refuse(at, "capabilities.add", "no container has privileges on a worker"),
        false => Ok(()),
    }
}

fn pull(policy: Option<&str>, at: &str) -> Result<Pull, Refusal> {
    match policy.unwrap_or_default() {
        "Always" => Ok(Pull::Always),
        "" | "IfNotPresent" => Ok(Pull::IfNotPresent),
        "Never" => Ok(Pull::Never),
        other => refuse(at, "imagePullPolicy", format!("{other:?} is no policy")),
    }
}

fn no_mounts(mounts: &[Mount], at: &str, notes: &mut Vec<String>) {
    if !mounts.is_empty() {
        notes.push(format!("{at}.volumeMounts is ignored: without an image there is nothing to mount into"));
    }
}
