//! What a container says of its end: in a file that it may write, or by the end of its log.
//!
//! <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use htc_core::workload::container::TerminationMessage;
use htc_core::workload::report::MESSAGE_MAX;

use crate::apptainer::Bind;
use crate::outputs::PRIVATE;

/// Where the file is seen in an image that cannot have it at its own place.
const PLACE: &str = "/.htc-message";

/// How the file comes into an image.
#[derive(Debug)]
pub struct Offer {
    /// The file at its place, or at another one.
    pub bind: Bind,
    /// From its place to the other one.
    pub link: Option<(String, String)>,
}

/// The file of a container on the worker.
pub fn file(scratch: &Path, container: &str) -> PathBuf {
    scratch.join(PRIVATE).join(format!("message.{container}"))
}

/// Makes the file.
pub fn offer(file: &Path, wanted: &TerminationMessage) -> io::Result<Offer> {
    OpenOptions::new().append(true).create(true).open(file)?;
    let bind = |target: &str| Bind { source: file.to_owned(), target: target.to_owned(), read_only: false };
    // apptainer adds no files to the `/dev` that it makes, but whoever runs in the image may. What is
    // below one of its folders there (/dev/shm) is no such file.
    match wanted.path.strip_prefix("/dev/") {
        Some(name) if !name.contains('/') => {
            Ok(Offer { bind: bind(PLACE), link: Some((PLACE.to_owned(), wanted.path.clone())) })
        }
        _ => Ok(Offer { bind: bind(&wanted.path), link: None }),
    }
}

/// The end of what was written to the file; nothing where there is none.
pub fn read(file: &Path) -> String {
    let read = || {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MESSAGE_MAX as u64)))?;
        let mut bytes = Vec::new();
        file.take(MESSAGE_MAX as u64).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let mut text = read().unwrap_or_default();
    // A byte that is no text takes three.
    text.truncate(text.floor_char_boundary(MESSAGE_MAX));
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn offered(path: &str) -> (String, Option<(String, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let wanted = TerminationMessage { path: path.to_owned(), fallback_to_logs: false };
        let offer = offer(&folder.path().join("message.main"), &wanted).unwrap();
        assert_eq!(fs::read(&offer.bind.source).unwrap(), b"");
        (offer.bind.target, offer.link)
    }

    #[test]
    fn the_file_is_at_its_place_or_a_link_leads_to_it() {
        assert_eq!(offered("/data/msg"), ("/data/msg".to_owned(), None));
        let link = (PLACE.to_owned(), "/dev/termination-log".to_owned());
        assert_eq!(offered("/dev/termination-log"), (PLACE.to_owned(), Some(link)));
    }

    #[test]
    fn the_end_of_the_file_is_read_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("message.main");
        assert_eq!(read(&file), "");
        fs::write(&file, "said\n").unwrap();
        assert_eq!(read(&file), "said\n");
        fs::write(&file, "x".repeat(MESSAGE_MAX) + "end").unwrap();
        assert!(read(&file).len() == MESSAGE_MAX && read(&file).ends_with("xend"));
        fs::write(&file, [0xff; MESSAGE_MAX]).unwrap();
        assert!(read(&file).len() <= MESSAGE_MAX && read(&file).starts_with('\u{fffd}'));
    }
}
