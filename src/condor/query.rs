//! One question for all jobs: a projected `condor_q` over our instance.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::ad::{Ad, INSTANCE, KEY, PROJECTION, UID};
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::quote;
use crate::limits::QUERY_DEADLINE;

const TOOL: &str = "condor_q";

/// Jobs without a key of ours, which are known by their ids, and the keys that they have here.
pub type Strangers = HashMap<JobId, JobKey>;

/// All jobs of our instance, and the strangers. Only a complete answer is one: the tool ended well and
/// what it wrote is whole (nothing at all means that there are none).
pub async fn all(pool: &Pool, instance: &str, strangers: &Strangers) -> Result<Vec<Ad>, CallError> {
    let mut constraint = format!("{INSTANCE} == {}", quote::string(instance));
    if !strangers.is_empty() {
        // Whole clusters: a short text. The rest of a cluster is left out here.
        let clusters: BTreeSet<String> = strangers.keys().map(|job| job.cluster.to_string()).collect();
        let clusters = Vec::from_iter(clusters).join(",");
        constraint.push_str(&format!(" || ({INSTANCE} =?= undefined && member(ClusterId, {{{clusters}}}))"));
    }
    let arguments = ["-allusers", "-json", "-attributes", &PROJECTION.join(","), "-constraint", &constraint]
        .map(str::to_owned)
        .to_vec();
    parse(strangers, &run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?)
}

fn parse(strangers: &Strangers, answer: &[u8]) -> Result<Vec<Ad>, CallError> {
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = serde_json::Deserializer::from_slice(answer);
    let ads = reader.deserialize_seq(Ours(strangers)).and_then(|ads| reader.end().map(|()| ads));
    ads.map_err(|e| CallError::Unreadable { tool: TOOL, message: e.to_string() })
}

/// Reads one ad after the other: 10,000 of them as JSON values would take ten times the memory.
struct Ours<'a>(&'a Strangers);

impl<'de> Visitor<'de> for Ours<'_> {
    type Value = Vec<Ad>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of job ads")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut answer: A) -> Result<Vec<Ad>, A::Error> {
        let mut ours = Vec::new();
        while let Some(ad) = answer.next_element::<Map<String, Value>>()? {
            // An ad without a key of ours is a stranger with our instance id. One of ours that cannot
            // be read must not pass for absent: then the whole answer is none.
            let read = match ad.get(KEY).and_then(Value::as_str) {
                Some(key) => key.parse().ok().map(|key| Ad::parse(key, &ad)),
                None => stranger(self.0, &ad),
            };
            ours.extend(read.transpose().map_err(A::Error::custom)?);
        }
        Ok(ours)
    }
}

/// An ad that is known by its id. Whatever it waits for, it was handed over long ago.
fn stranger(strangers: &Strangers, ad: &Map<String, Value>) -> Option<Result<Ad, String>> {
    let number = |name: &str| u32::try_from(ad.get(name)?.as_i64()?).ok();
    let job = JobId { cluster: number("ClusterId")?, proc: number("ProcId")? };
    let ad = Ad::parse(strangers.get(&job)?.clone(), ad);
    Some(ad.map(|ad| Ad { staged: true, ..ad }))
}

/// The constraint for all jobs of some workloads.
pub fn of_workloads<'a>(uids: impl IntoIterator<Item = &'a Uid>) -> String {
    format!("member({UID}, {})", quote::list(uids))
}

/// The constraint for jobs of nobody's instance with these ids, as far as they are not removed.
pub fn of_strangers(ids: &[JobId]) -> String {
    let mut clusters: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for JobId { cluster, proc } in ids {
        clusters.entry(*cluster).or_default().push(proc.to_string());
    }
    let one = |(cluster, procs): (&u32, &Vec<String>)| {
        format!("(ClusterId == {cluster} && member(ProcId, {{{}}}))", procs.join(","))
    };
    let any = clusters.iter().map(one).collect::<Vec<_>>().join(" || ");
    format!("{INSTANCE} =?= undefined && JobStatus != 3 && ({any})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_mean_no_jobs_and_a_cut_answer_means_nothing() {
        let parse = |answer: &[u8]| parse(&Strangers::new(), answer);
        assert_eq!(parse(b"").unwrap(), []);
        assert_eq!(parse(b"\n").unwrap(), []);
        assert!(parse(b"[\n").is_err());
        assert!(parse(b"[\n{\"ClusterId\": 1,").is_err());
    }

    #[test]
    fn a_stranger_is_known_by_its_id_and_by_nothing_else() {
        let job = JobId { cluster: 9, proc: 1 };
        let strangers = Strangers::from([(job, "u/0/0/0".parse().unwrap())]);
        let ad = |proc: u32, key: &str| {
            format!(r#"{{"ClusterId": 9, "ProcId": {proc}, "JobStatus": 1, "EnteredCurrentStatus": 5{key}}}"#)
        };
        let answer = format!("[{},{},{}]", ad(0, ""), ad(1, ""), ad(2, r#", "HTCOperatorKey": "v/0/0/0""#));
        let ads = parse(&strangers, answer.as_bytes()).unwrap();
        let keys: Vec<_> = ads.iter().map(|ad| (ad.key.to_string(), ad.job.proc, ad.staged)).collect();
        assert_eq!(keys, [("u/0/0/0".to_owned(), 1, true), ("v/0/0/0".to_owned(), 2, false)]);
    }

    #[test]
    fn the_constraint_for_strangers_names_each_cluster_once() {
        let ids = [(9, 0), (7, 3), (9, 2)].map(|(cluster, proc)| JobId { cluster, proc });
        assert_eq!(
            of_strangers(&ids),
            "HTCOperatorInstance =?= undefined && JobStatus != 3 && \
             ((ClusterId == 7 && member(ProcId, {3})) || (ClusterId == 9 && member(ProcId, {0,2})))"
        );
    }
}
