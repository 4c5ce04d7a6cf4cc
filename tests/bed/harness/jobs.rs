//! HTCJobs to apply.

use htc_operator::htcjob::types::{HTCJob, HTCJobSpec, Script};

/// A bash script in an image.
pub fn image(image: &str, name: &str, source: &str) -> HTCJob {
    let script = Script {
        image: image.to_owned(),
        command: "bash".to_owned(),
        source: source.to_owned(),
        queue: None,
    };
    HTCJob::new(name, HTCJobSpec { name: name.to_owned(), script, queue: None, htcopts: None })
}

/// A bash script without a container: the quickest job there is.
pub fn host(name: &str, source: &str) -> HTCJob {
    image("host", name, source)
}

/// An example of the project.
pub fn example(yaml: &str) -> HTCJob {
    serde_saphyr::from_str(yaml).unwrap()
}
