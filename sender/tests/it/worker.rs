//! Whether it is the worker's fault that nothing of the user's could be started, and that the job signs that.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use htc_core::events::job_key;
use htc_core::result;
use htc_core::workload::container::Image;
use htc_core::workload::spec::JobSpec;

use crate::reports::events;
use crate::scratch::{Scratch, container, job};

/// What the last report says of the worker; `engine` is the apptainer of that worker.
fn fault(job: &JobSpec, engine: &str) -> Option<String> {
    let job = JobSpec { events: Some(events(None, None)), ..job.clone() };
    let scratch = Scratch::of(&job);
    let tools = scratch.path().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("apptainer"), engine).unwrap();
    fs::set_permissions(tools.join("apptainer"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = scratch.start_as(|command| {
        command.env("PATH", &tools);
    });
    assert_ne!(run.wait().code(), 0);
    let (bytes, key) = (fs::read(scratch.path().join("result.json")).unwrap(), job_key(b"master", &job.key));
    result::read(&bytes, &job.key, |_| Some(key)).expect("it is signed").worker_fault
}

fn in_image(image: &str) -> JobSpec {
    job(Image::Apptainer(image.to_owned()), &["true"], "")
}

#[test]
fn a_worker_that_can_run_no_image_says_so() {
    let no_namespaces =
        "#!/bin/sh\necho 'FATAL: failed to create user namespace: operation not permitted' >&2\nexit 255";
    for (image, engine, words) in [
        ("docker://busybox", "#!/no/such/shell\n", "this worker cannot pull an image: No such file"),
        ("/proc", "#!/no/such/shell\n", "this worker cannot start a container: No such file"),
        ("/proc", no_namespaces, "failed to create user namespace"),
        ("/no-such-mount/x.sif", "", "this worker has no /no-such-mount/x.sif"),
        (
            "docker://busybox",
            "#!/bin/sh\necho 'FATAL: write x: no space left on device' >&2\nexit 255",
            "no space",
        ),
    ] {
        let fault = fault(&in_image(image), engine).unwrap_or_default();
        assert!(fault.contains(words), "{image}, {words:?}: {fault:?}");
    }
}

#[test]
fn what_would_fail_on_any_worker_is_not_its_fault() {
    let unknown = "#!/bin/sh\necho 'FATAL: reading manifest latest in reg/x: manifest unknown' >&2\nexit 255";
    let killed = "#!/bin/sh\nkill -9 $$";
    let of_host = |argv: &[&str]| job(Image::Host, argv, "");
    for (job, engine) in [
        (in_image("docker://reg/x"), unknown),
        (in_image("/proc/no-such.sif"), ""),
        (in_image("no path"), ""),
        (in_image("/proc"), killed),
        (of_host(&["no-such-command"]), ""),
        (of_host(&["sh", "-c", "exit 127"]), ""),
        (of_host(&["sh", "-c", "echo 'failed to create user namespace'; exit 3"]), ""),
    ] {
        assert_eq!(fault(&job, engine), None, "{job:?}");
    }
}

#[test]
fn a_worker_is_not_at_fault_once_anything_of_the_user_has_run() {
    let engine = "#!/bin/sh\necho 'FATAL: failed to create user namespace' >&2\nexit 255";
    let mut job = in_image("/proc");
    job.containers.push(container("beside", Image::Host, &["true"]));
    assert_eq!(fault(&job, engine), None);
    job.containers.truncate(1);
    assert!(fault(&job, engine).is_some());
    job.init_containers = vec![container("first", Image::Host, &["true"])];
    assert_eq!(fault(&job, engine), None);
}
