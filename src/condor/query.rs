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
use crate::limits::{CLUSTER_RANGES, QUERY_DEADLINE};

const TOOL: &str = "condor_q";

/// Jobs without a key of ours, which are known by their ids, and the keys that they have here.
pub type Strangers = HashMap<JobId, JobKey>;

/// All jobs of our instance, and the strangers. Only a complete answer is one: the tool ended well and
/// what it wrote is whole (nothing at all means that there are none).
pub async fn all(pool: &Pool, instance: &str, strangers: &Strangers) -> Result<Vec<Ad>, CallError> {
    let mut constraint = format!("{INSTANCE} == {}", quote::string(instance));
    if !strangers.is_empty() {
        let clusters = of_clusters(&strangers.keys().map(|job| job.cluster).collect());
        constraint.push_str(&format!(" || ({INSTANCE} =?= undefined && ({clusters}))"));
    }
    let arguments = ["-allusers", "-json", "-attributes", &PROJECTION.join(","), "-constraint", &constraint]
        .map(str::to_owned)
        .to_vec();
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?;
    // 10,000 ads take a tenth of a second: callers of ours must not wait for that.
    let strangers = strangers.clone();
    let parsed = tokio::task::spawn_blocking(move || parse(&strangers, &answer)).await;
    parsed.unwrap_or_else(|why| Err(CallError::Unreadable { tool: TOOL, message: why.to_string() }))
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

/// A constraint that all these clusters meet. Others may meet it too, and whole clusters do: who asks knows
/// the jobs that are meant. An argument has 128 KiB at most, so where there are too many ranges, those that
/// lie closest together become one.
fn of_clusters(clusters: &BTreeSet<u32>) -> String {
    let sorted: Vec<u32> = clusters.iter().copied().collect();
    let mut gaps: Vec<(u32, usize)> =
        sorted.windows(2).enumerate().map(|(n, two)| (two[1] - two[0], n + 1)).collect();
    gaps.retain(|(gap, _)| *gap > 1);
    gaps.sort_unstable_by(|one, other| other.cmp(one));
    gaps.truncate(CLUSTER_RANGES - 1);
    let mut starts: Vec<usize> = gaps.into_iter().map(|(_, start)| start).chain([0]).collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).copied().chain([sorted.len()]);
    let range = |(start, end): (&usize, usize)| match (sorted[*start], sorted[end - 1]) {
        (first, last) if first == last => format!("ClusterId == {first}"),
        (first, last) => format!("(ClusterId >= {first} && ClusterId <= {last})"),
    };
    starts.iter().zip(ends).map(range).collect::<Vec<_>>().join(" || ")
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
    fn clusters_are_named_as_ranges() {
        assert_eq!(of_clusters(&[7].into()), "ClusterId == 7");
        let some = of_clusters(&[9, 3, 4, 5, 11].into());
        assert_eq!(some, "(ClusterId >= 3 && ClusterId <= 5) || ClusterId == 9 || ClusterId == 11");
    }

    #[test]
    fn however_many_clusters_there_are_they_fit_in_an_argument_and_none_is_left_out() {
        let clusters: BTreeSet<u32> = (1..=50_000).map(|n| 80_000_000 + n * n % 9_999_991).collect();
        let text = of_clusters(&clusters);
        assert!(text.len() < 100_000, "{}", text.len());
        let numbers = |range: &str| -> Vec<u32> {
            range.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
        };
        let ranges: Vec<Vec<u32>> = text.split(" || ").map(numbers).collect();
        assert_eq!(ranges.len(), CLUSTER_RANGES);
        let is_in = |cluster: u32, range: &[u32]| (range[0]..=range[range.len() - 1]).contains(&cluster);
        assert!(clusters.iter().all(|cluster| ranges.iter().any(|range| is_in(*cluster, range))));
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
