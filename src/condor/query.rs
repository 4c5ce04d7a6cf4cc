//! One question for all jobs: a projected `condor_q` over our instance.

use std::collections::{BTreeSet, HashMap};

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;

use super::ad::{self, Ad, INSTANCE, KEY, OWNER, PROJECTION};
use super::answer::{self, Fields, Unreadable};
use super::cli::{Call, CallError, run_up_to};
use super::pool::Pool;
use super::quote;
use super::riddle::Riddle;
use super::whose::{self, Whose};
use crate::limits::{
    CLUSTER_RANGES, FOREIGN_MAX, FOREIGN_OUTPUT_MAX, OPEN_MAX, QUERY_DEADLINE, TOOL_OUTPUT_MAX,
};

const TOOL: &str = "condor_q";

/// What is asked of jobs of others: whose they are and what they claim to be.
const FOREIGN_PROJECTION: &[&str] = &[OWNER, KEY, "ClusterId", "ProcId"];

/// Jobs without a key of ours, which are known by their ids, and the keys that they have here.
pub type Strangers = HashMap<JobId, JobKey>;

/// What a complete answer says: the tool ended well and what it wrote is whole (nothing at all means that
/// there are no jobs). Each ad is judged alone: one that cannot be read spoils no other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Our jobs, and the strangers.
    pub ads: Vec<Ad>,
    /// Ads of ours that cannot be judged.
    pub riddles: Vec<Riddle>,
    /// Ads of other owners that bear our instance id.
    pub foreign: Vec<Foreign>,
    /// There are more of those than were read.
    pub is_cut: bool,
}

/// A job of another owner that bears our instance id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whose it is, as far as that can be read.
    pub owner: String,
    /// The key that it bears.
    pub key: Option<JobKey>,
    /// HTCondor's id.
    pub job: Option<JobId>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose jobs are ours.
    pub whose: Whose,
    /// Whether an ad has confirmed that.
    pub is_confirmed: bool,
    /// Clusters that our own `condor_submit` has printed, some of them: their ads confirm it.
    pub printed: BTreeSet<u32>,
    /// Keys of submissions that are open: a job with one of them may be ours, whoever owns it.
    pub open: BTreeSet<JobKey>,
    /// The jobs of the predecessor.
    pub strangers: Strangers,
}

/// Asks for all our jobs, and for the strangers. As long as nothing has confirmed who we are, those of other
/// owners that bear our instance id are asked for too, by a question of their own: others decide how long its
/// answer is.
pub async fn all(pool: &Pool, question: Question) -> Result<Answer, CallError> {
    let answer = ask(pool, &question.constraint(), PROJECTION, None, TOOL_OUTPUT_MAX).await?;
    // 10,000 ads take a tenth of a second: callers of ours must not wait for that.
    let Question { whose, is_confirmed, strangers, open, .. } = question;
    let asker = whose.clone();
    let read = tokio::task::spawn_blocking(move || read(&asker, &strangers, &answer));
    let mut answer = read.await.unwrap_or_else(|why| Err(why.to_string())).map_err(unreadable)?;
    if !is_confirmed {
        let all = foreign(pool, &whose, FOREIGN_MAX).await?;
        answer.foreign.extend(all.jobs);
        answer.is_cut = all.is_cut;
        if all.is_cut && (1..=OPEN_MAX).contains(&open.len()) {
            // Nobody else can make jobs with keys that they have not seen yet.
            let theirs = format!("{} && member({KEY}, {})", of_others(&whose), quote::list(&open));
            let named = ask_for_foreign(pool, &theirs, FOREIGN_MAX).await?;
            answer.foreign.extend(named.jobs);
            answer.is_cut = named.is_cut;
        }
    }
    Ok(answer)
}

impl Question {
    fn constraint(&self) -> String {
        let Question { whose, is_confirmed, printed, open: _, strangers } = self;
        let mut constraint = whose.all();
        if !is_confirmed && !printed.is_empty() {
            let instance = whose::of_instance(&whose.instance);
            constraint = format!("({constraint}) || ({instance} && ({}))", of_clusters(printed));
        }
        if !strangers.is_empty() {
            let clusters = of_clusters(&strangers.keys().map(|job| job.cluster).collect());
            constraint = format!("({constraint}) || ({INSTANCE} =?= undefined && ({clusters}))");
        }
        constraint
    }
}

/// Jobs of others that bear our instance id.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Of many the first.
    pub jobs: Vec<Foreign>,
    /// There are more, or they say more than is read.
    pub is_cut: bool,
}

/// Asks for so many jobs of others that bear our instance id.
pub async fn foreign(pool: &Pool, whose: &Whose, most: usize) -> Result<Others, CallError> {
    ask_for_foreign(pool, &of_others(whose), most).await
}

/// The constraint for jobs of others that bear our instance id.
fn of_others(whose: &Whose) -> String {
    format!("{} && !({})", whose::of_instance(&whose.instance), whose.all())
}

async fn ask_for_foreign(pool: &Pool, constraint: &str, most: usize) -> Result<Others, CallError> {
    match ask(pool, constraint, FOREIGN_PROJECTION, Some(most), FOREIGN_OUTPUT_MAX).await {
        Ok(answer) => {
            let jobs = read_foreign(&answer).map_err(unreadable)?;
            Ok(Others { is_cut: jobs.len() >= most, jobs })
        }
        Err(CallError::TooLong { .. }) => Ok(Others { jobs: Vec::new(), is_cut: true }),
        Err(why) => Err(why),
    }
}

fn read_foreign(answer: &[u8]) -> Result<Vec<Foreign>, String> {
    let mut jobs = Vec::new();
    answer::each(answer, FOREIGN_PROJECTION, |fields| jobs.push(Foreign::of(&fields)))?;
    Ok(jobs)
}

async fn ask(
    pool: &Pool,
    constraint: &str,
    projection: &[&str],
    limit: Option<usize>,
    most: u64,
) -> Result<Vec<u8>, CallError> {
    let mut arguments =
        ["-allusers", "-json", "-attributes", &projection.join(","), "-constraint", constraint]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(limit.into_iter().flat_map(|limit| ["-limit".to_owned(), limit.to_string()]));
    run_up_to(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }, most).await
}

fn unreadable(message: String) -> CallError {
    CallError::Unreadable { tool: TOOL, message }
}

/// Reads an answer. `condor_history` prints the same.
pub(super) fn read(whose: &Whose, strangers: &Strangers, answer: &[u8]) -> Result<Answer, String> {
    let mut told = Answer::default();
    answer::each(answer, PROJECTION, |fields| told.take(whose, strangers, &fields))?;
    Ok(told)
}

impl Answer {
    fn take(&mut self, whose: &Whose, strangers: &Strangers, fields: &Fields) {
        match fields.text(INSTANCE) {
            // It met the constraint by an expression, so whoever may edit ours made it one.
            Err(Unreadable(_)) | Ok(Some(_)) => self.take_ours(whose, fields),
            // Whole clusters are asked for, so not every one is meant.
            Ok(None) => match stranger(strangers, fields) {
                Some(Ok(ad)) => self.ads.push(ad),
                Some(Err(riddle)) => self.riddles.push(riddle),
                None => {}
            },
        }
    }

    fn take_ours(&mut self, whose: &Whose, fields: &Fields) {
        if ad::text(fields, OWNER) != Some(&whose.owner) {
            self.foreign.push(Foreign::of(fields));
            return;
        }
        match key(fields).ok_or(Unreadable(KEY)).and_then(|key| Ad::parse(key, fields)) {
            Ok(ad) => self.ads.push(ad),
            Err(Unreadable(attribute)) => self.riddles.push(Riddle::of(fields, attribute)),
        }
    }
}

impl Foreign {
    fn of(fields: &Fields) -> Foreign {
        let owner = ad::text(fields, OWNER).unwrap_or_default().to_owned();
        Foreign { owner, key: key(fields), job: ad::id(fields).ok() }
    }
}

fn key(fields: &Fields) -> Option<JobKey> {
    ad::text(fields, KEY)?.parse().ok()
}

/// An ad that is known by its id. Whatever it waits for, it was handed over long ago.
fn stranger(strangers: &Strangers, fields: &Fields) -> Option<Result<Ad, Riddle>> {
    let job = ad::id(fields).ok()?;
    let key = strangers.get(&job)?.clone();
    let ad = Ad::parse(key.clone(), fields).map(|ad| Ad { staged: true, ..ad });
    Some(ad.map_err(|Unreadable(attribute)| {
        let uid = Some(key.uid.clone());
        Riddle { attribute, key: Some(key), uid, job: Some(job) }
    }))
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

/// The constraint for jobs of nobody's instance with these ids, as far as they are not removed.
pub fn of_strangers(ids: &[JobId]) -> String {
    format!("{} && JobStatus != 3", with_ids_of_strangers(ids))
}

/// The constraint for jobs of nobody's instance with these ids.
pub(super) fn with_ids_of_strangers<'a>(ids: impl IntoIterator<Item = &'a JobId>) -> String {
    format!("{INSTANCE} =?= undefined && ({})", whose::with_ids(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose() -> Whose {
        Whose { owner: "alice".into(), instance: "i".into() }
    }

    fn ad(proc: u32, more: &str) -> String {
        format!(r#"{{"ClusterId": 9, "ProcId": {proc}, "JobStatus": 1, "EnteredCurrentStatus": 5, {more}}}"#)
    }

    #[test]
    fn a_stranger_is_known_by_its_id_and_by_nothing_else() {
        let job = JobId { cluster: 9, proc: 1 };
        let strangers = Strangers::from([(job, "u/0/0/0".parse().unwrap())]);
        let theirs = r#""Owner": "bob""#;
        let ours = r#""Owner": "alice", "HTCOperatorInstance": "i", "HTCOperatorKey": "v/0/0/0""#;
        let answer = format!("[{},{},{}]", ad(0, theirs), ad(1, theirs), ad(2, ours));
        let answer = read(&whose(), &strangers, answer.as_bytes()).unwrap();
        let keys: Vec<_> = answer.ads.iter().map(|ad| (ad.key.to_string(), ad.job.proc, ad.staged)).collect();
        assert_eq!(keys, [("u/0/0/0".to_owned(), 1, true), ("v/0/0/0".to_owned(), 2, false)]);
        assert!(answer.riddles.is_empty() && answer.foreign.is_empty());
    }

    #[test]
    fn an_ad_that_cannot_be_judged_spoils_no_other_and_one_of_another_owner_says_nothing() {
        let of = |owner: &str, key: &str| {
            format!(
                r#""Owner": {owner}, "HTCOperatorInstance": "i", "HTCOperatorUid": "u", "HTCOperatorKey": {key}"#
            )
        };
        let (alice, good) = (r#""alice""#, r#""u/0/0/0""#);
        let deep =
            format!(r#"{}, "ChirpHTCReport": {}0{}"#, of(alice, good), "[".repeat(500), "]".repeat(500));
        let ads = [
            ad(0, &deep),
            ad(1, &of(alice, "{}")),
            ad(2, &of(r#""Alice""#, good)),
            ad(3, &of("7", good)),
            ad(4, &format!(r#"{}, "jobstatus": [2]"#, of(alice, good))),
        ];
        let Answer { ads, riddles, foreign, .. } =
            read(&whose(), &Strangers::new(), format!("[{}]", ads.join(",")).as_bytes()).unwrap();
        let read: Vec<_> = ads.iter().map(|ad| (ad.job.proc, ad.unread.as_slice())).collect();
        assert_eq!(read, [(0, &["ChirpHTCReport"][..]), (4, &[])], "the first of two values counts");
        assert_eq!(riddles.iter().map(|riddle| riddle.attribute).collect::<Vec<_>>(), [KEY]);
        assert_eq!(foreign.iter().map(|ad| ad.owner.as_str()).collect::<Vec<_>>(), ["Alice", ""]);
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
            "HTCOperatorInstance =?= undefined && \
             ((ClusterId == 7 && member(ProcId, {3})) || (ClusterId == 9 && member(ProcId, {0,2}))) && \
             JobStatus != 3"
        );
    }
}
