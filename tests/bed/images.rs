//! Images of every kind run, and those that cannot say why.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use htc_operator::htcjob::types::{HTCJob, Phase};
use tokio::process::Command;

use crate::harness::{Bed, image, on_bed, with_operator};

/// The bed's registry by a name that nothing of the bed declares insecure.
const REGISTRY: &str = "localhost:5000";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_registry_that_speaks_plain_http_is_used_when_the_site_says_so() {
    on_bed(async |bed: &mut Bed| {
        let centos = format!("docker://{REGISTRY}/library/centos:latest");
        // What an earlier run pulled needs no registry.
        bed.set("HTC_IMAGE_CACHE", None);
        bed.start().await;
        let refused = bed.apply(image(&centos, "https", "true")).await;
        let status = bed.until_phase(&refused, Phase::Failed).await;
        assert_eq!(status.reason.as_deref(), Some("ContainerCannotRun"));
        assert!(status.message.as_ref().unwrap().contains("HTTPS"), "{:?}", status.message);

        bed.kill().await;
        bed.set("HTC_INSECURE_REGISTRIES", Some(&format!("other.example,{REGISTRY}")));
        bed.set("HTC_IMAGE_REGISTRY", Some(&format!("{REGISTRY}/library")));
        bed.start().await;
        push(bed, "centos").await;
        let oras = format!("oras://{REGISTRY}/test/{}:1", bed.id);
        for (name, text) in [("docker", centos.as_str()), ("plain", "centos"), ("oras", &oras)] {
            runs(bed, image(text, name, SAYS_CENTOS)).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_sif_file_and_an_unpacked_folder_run_from_where_they_lie() {
    with_operator(async |bed| {
        // As on CVMFS: read by whoever runs the job, written by nobody.
        let (sif, folder) = (bed.folder.join("centos.sif"), bed.folder.join("unpacked/centos:latest"));
        apptainer(bed, &["build", path(&sif), "docker://centos"]).await;
        std::fs::create_dir(folder.parent().unwrap()).unwrap();
        apptainer(bed, &["build", "--sandbox", path(&folder), path(&sif)]).await;
        for (name, place) in [("sif", &sif), ("folder", &folder)] {
            runs(bed, image(path(place), name, SAYS_CENTOS)).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_file_that_the_worker_does_not_have_is_named() {
    with_operator(async |bed| {
        let job = bed.apply(image("/usr/no/such:image", "lost", "true")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!(status.reason.as_deref(), Some("ContainerCannotRun"), "{status:#?}");
        let message = status.message.unwrap();
        assert!(message.contains("/usr/no/such:image"), "{message}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_one_job_pulled_stays_on_the_worker_for_the_next_where_the_site_says_so() {
    on_bed(async |bed: &mut Bed| {
        let cache = bed.folder.join("images");
        std::fs::create_dir(&cache).unwrap();
        // Jobs may run as another user than ours.
        std::fs::set_permissions(&cache, Permissions::from_mode(0o1777)).unwrap();
        bed.set("HTC_IMAGE_CACHE", Some(path(&cache)));
        bed.start().await;
        let mut pulled = Vec::new();
        for name in ["first", "second"] {
            runs(bed, image("centos", name, SAYS_CENTOS)).await;
            // Of the job's user, and in it of the namespace.
            let first = |folder: PathBuf| std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
            let images = std::fs::read_dir(first(first(cache.clone()))).unwrap().map(|entry| entry.unwrap());
            let images = images.filter(|entry| path(&entry.path()).ends_with(".sif"));
            pulled.extend(images.map(|entry| entry.metadata().unwrap().modified().unwrap()));
        }
        assert!(pulled.len() == 2 && pulled[0] == pulled[1], "{pulled:?}");
    })
    .await;
}

/// Fails outside of the image.
const SAYS_CENTOS: &str = "grep ^ID= /etc/os-release";

async fn runs(bed: &mut Bed, job: HTCJob) {
    let job = bed.apply(job).await;
    bed.until_phase(&job, Phase::Succeeded).await;
    assert_eq!(bed.log_of(&job).await, "ID=centos\n", "{}", job.name);
}

/// Puts an image into the registry as one file, as `apptainer push` does.
async fn push(bed: &Bed, name: &str) {
    let sif = bed.folder.join("pushed.sif");
    apptainer(bed, &["build", path(&sif), &format!("docker://{name}")]).await;
    let place = format!("oras://{REGISTRY}/test/{}:1", bed.id);
    apptainer(bed, &["push", "--no-https", path(&sif), &place]).await;
}

async fn apptainer(bed: &Bed, arguments: &[&str]) {
    let cache = bed.folder.join("cache");
    let mut command = Command::new("apptainer");
    let output = command.args(arguments).env("APPTAINER_CACHEDIR", &cache).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
