//! The little that is read from the job's own ad, `$_CONDOR_JOB_AD`.

use std::path::Path;

/// Which execution of which job this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobAd {
    /// `cluster.proc`; none outside HTCondor.
    pub id: Option<String>,
    /// `NumShadowStarts`, at least 1.
    pub start: u32,
}

impl JobAd {
    /// Reads the file; one that is missing tells nothing.
    pub fn read(path: Option<&Path>) -> JobAd {
        let text = path.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        JobAd::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> JobAd {
        let number = |name: &str| -> Option<u32> {
            let line = |line: &str| {
                let (key, value) = line.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim().parse().ok())?
            };
            text.lines().find_map(line)
        };
        let id = number("ClusterId").zip(number("ProcId"));
        JobAd {
            id: id.map(|(cluster, proc)| format!("{cluster}.{proc}")),
            start: number("NumShadowStarts").unwrap_or(1).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_start_are_found_among_other_attributes() {
        let ad = "Arguments = \"ProcId = 9\"\nClusterId = 884426\nNumShadowStarts = 3\nProcId = 7\n";
        assert_eq!(JobAd::parse(ad), JobAd { id: Some("884426.7".to_owned()), start: 3 });
    }

    #[test]
    fn without_an_ad_this_is_the_first_start_of_an_unknown_job() {
        assert_eq!(JobAd::read(None), JobAd { id: None, start: 1 });
        assert_eq!(JobAd::parse("NumShadowStarts = undefined").start, 1);
    }
}
