//! Whose jobs are ours. Everybody may put our instance id and our keys on jobs of their own, but not our
//! account: so each question and each act names both.

use htc_core::workload::names::Uid;
use htc_core::workload::progress::JobId;

use super::ad::{INSTANCE, OWNER, UID};
use super::quote;

/// The jobs of one owner that bear one instance id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The account that the schedd takes us for.
    pub owner: String,
    /// Our instance id.
    pub instance: String,
}

impl Whose {
    /// The constraint for all of them. Strings are compared with their case, which `==` ignores.
    pub fn all(&self) -> String {
        format!("{OWNER} =?= {} && {}", quote::string(&self.owner), of_instance(&self.instance))
    }

    /// The constraint for those of them that also meet this one.
    pub fn that(&self, constraint: &str) -> String {
        format!("{} && ({constraint})", self.all())
    }

    /// The constraint for those with these ids.
    pub fn with_ids<'a>(&self, ids: impl IntoIterator<Item = &'a JobId>) -> String {
        self.that(&with_ids(ids))
    }

    /// The constraint for those of some workloads.
    pub fn of_workloads<'a>(&self, uids: impl IntoIterator<Item = &'a Uid>) -> String {
        let of = |uid: &Uid| format!("{UID} =?= {}", quote::string(uid.as_str()));
        self.that(&any(uids.into_iter().map(of)))
    }
}

/// The constraint for all jobs with an instance id, whoever owns them.
pub fn of_instance(instance: &str) -> String {
    format!("{INSTANCE} =?= {}", quote::string(instance))
}

/// The constraint for jobs with these ids.
pub fn with_ids<'a>(ids: impl IntoIterator<Item = &'a JobId>) -> String {
    let mut ids: Vec<JobId> = ids.into_iter().copied().collect();
    ids.sort_unstable();
    any(ids.chunk_by(|one, next| one.cluster == next.cluster).map(|ids| {
        let procs: Vec<String> = ids.iter().map(|id| id.proc.to_string()).collect();
        format!("(ClusterId == {} && member(ProcId, {{{}}}))", ids[0].cluster, procs.join(","))
    }))
}

fn any(constraints: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = constraints.collect();
    // A constraint for none of them must not become one for all.
    if all.is_empty() { "false".to_owned() } else { all.join(" || ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constraint_names_owner_and_instance_and_nothing_gets_out_of_its_quotes() {
        let whose = Whose { owner: "al\"ice".into(), instance: "i".into() };
        let ours = r#"Owner =?= "al\"ice" && HTCOperatorInstance =?= "i""#;
        assert_eq!(whose.all(), ours);
        let ids = [(9, 0), (7, 3), (9, 2)].map(|(cluster, proc)| JobId { cluster, proc });
        let by_id = "(ClusterId == 7 && member(ProcId, {3})) || (ClusterId == 9 && member(ProcId, {0,2}))";
        assert_eq!(whose.with_ids(&ids), format!("{ours} && ({by_id})"));
        let uids = ["u", "v"].map(|uid| uid.parse().unwrap());
        let by_uid = r#"HTCOperatorUid =?= "u" || HTCOperatorUid =?= "v""#;
        assert_eq!(whose.of_workloads(&uids), format!("{ours} && ({by_uid})"));
        assert_eq!(whose.with_ids(&[]), format!("{ours} && (false)"));
    }
}
