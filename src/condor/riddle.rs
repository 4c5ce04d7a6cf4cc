//! Ads that cannot be judged.

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;

use super::ad::{KEY, UID, id, text};
use super::answer::Fields;

/// An ad of ours that does not say whose job it is, or what has become of it. That job is in the queue, and
/// nothing else is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Riddle {
    /// The attribute that is missing or cannot be read.
    pub attribute: &'static str,
    /// Our key, where that can be read.
    pub key: Option<JobKey>,
    /// The workload, where that can be read.
    pub uid: Option<Uid>,
    /// HTCondor's id, where that can be read.
    pub job: Option<JobId>,
}

impl Riddle {
    /// What can be read of an ad that cannot be judged for want of this attribute.
    pub fn of(fields: &Fields, attribute: &'static str) -> Riddle {
        let key: Option<JobKey> = text(fields, KEY).and_then(|key| key.parse().ok());
        let uid = key.as_ref().map(|key| key.uid.clone());
        let uid = uid.or_else(|| text(fields, UID).and_then(|uid| uid.parse().ok()));
        Riddle { attribute, key, uid, job: id(fields).ok() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::condor::ad::fields;

    #[test]
    fn what_can_be_read_of_a_riddle_says_whose_it_is() {
        let whole = json!({"ClusterId": 5, "ProcId": 1, "HTCOperatorKey": "u/1/0/0", "JobStatus": {}});
        let riddle = Riddle::of(&fields(&whole), "JobStatus");
        assert_eq!((riddle.job, riddle.uid), (Some(JobId { cluster: 5, proc: 1 }), "u".parse().ok()));
        assert_eq!(riddle.key, "u/1/0/0".parse().ok());
        let nameless = json!({"HTCOperatorKey": {}, "HTCOperatorUid": "u", "ClusterId": 5});
        let riddle = Riddle::of(&fields(&nameless), KEY);
        assert_eq!((riddle.key, riddle.uid, riddle.job), (None, "u".parse().ok(), None));
    }
}
