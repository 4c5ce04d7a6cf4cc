//! HTCondor as its own tools show it: the oracle that does not believe the operator.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tokio::process::Command;

use super::bed::Bed;
use super::cluster::Job;
use super::patience::until;
use super::stranger::BOB;

/// A job ad.
pub type Ad = Map<String, Value>;

/// [`Bed::pool_away`]: the tools find no collector.
pub const AWAY: bool = true;
/// [`Bed::pool_away`]: the tools find the pool of the bed.
pub const HERE: bool = false;

const ATTRIBUTES: &str = "HTCOperatorKey,HTCOperatorUid,ClusterId,ProcId,JobStatus,StageInFinish,\
                          NumShadowStarts,RequestMemory,JobPrio,JobFlavour,Requirements,JobBatchName";

/// Runs a tool of HTCondor's; gives what it wrote, or what it complained of.
pub async fn tool(name: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(name);
    command.args(arguments);
    said(name, arguments, command).await
}

/// Runs such a command.
pub async fn said(name: &str, arguments: &[&str], mut command: Command) -> Result<String, String> {
    let output = command.output().await.map_err(|e| format!("{name}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{name} {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr))),
    }
}

async fn ads(name: &str, more: &[&str], constraint: &str) -> Vec<Ad> {
    until(name, async || {
        let arguments = [more, &["-json", "-attributes", ATTRIBUTES, "-constraint", constraint]].concat();
        let text = tool(name, &arguments).await?;
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).map_err(|e| e.to_string())
    })
    .await
}

impl Bed {
    /// Lets the pool be away for the operator, or be back: its tools have a configuration file of
    /// their own, which can change while it runs.
    pub fn pool_away(&mut self, away: bool) {
        let file = self.folder.join("condor_config");
        let text = match away {
            true => "COLLECTOR_HOST = 127.0.0.1:1\nSCHEDD_HOST = nobody@nowhere\nLOG = /tmp\n",
            false => "include : /etc/condor/condor_config\n",
        };
        // Whole or not at all: a tool may start at any moment.
        let new = self.folder.join("condor_config.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
        self.set("HTC_CONDOR_CONFIG", file.to_str());
    }

    fn ours(&self) -> String {
        ours(&self.id)
    }

    /// All ads of this bed's instance in the queue.
    pub async fn queue(&self) -> Vec<Ad> {
        ads("condor_q", &["-allusers"], &self.ours()).await
    }

    /// All ads of this bed's instance in the queue and in the history.
    pub async fn every_job(&self) -> Vec<Ad> {
        // In this order: what leaves the queue meanwhile is in both.
        let mut all = self.queue().await;
        for ad in ads("condor_history", &[], &self.ours()).await {
            if !all
                .iter()
                .any(|other| other["ClusterId"] == ad["ClusterId"] && other["ProcId"] == ad["ProcId"])
            {
                all.push(ad);
            }
        }
        all
    }

    /// Its ads in the queue that belong to one HTCJob.
    pub async fn queued(&self, job: &Job) -> Vec<Ad> {
        let constraint = format!("{} && HTCOperatorUid == \"{}\"", self.ours(), job.uid);
        ads("condor_q", &["-allusers"], &constraint).await
    }

    /// Waits until so many jobs of an HTCJob are in the queue with this `JobStatus`.
    pub async fn until_queued(&self, job: &Job, status: i64, count: usize) {
        until(&format!("{count} jobs of {} in state {status}", job.name), async || {
            let ads = self.queued(job).await;
            let found = ads.iter().filter(|ad| ad["JobStatus"] == status).count();
            let message = self.status(job).await.message;
            if found == count { Ok(()) } else { Err(format!("{found}: {ads:?}; status: {message:?}")) }
        })
        .await;
    }

    /// Waits until nothing of this bed is in the queue.
    pub async fn until_queue_empty(&self) {
        until("an empty queue", async || match self.queue().await {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
    }

    /// Changes an attribute of the jobs of an HTCJob, as an admin might.
    pub async fn edit(&self, job: &Job, attribute: &str, value: &str) {
        let constraint = format!("HTCOperatorUid == \"{}\"", job.uid);
        until("condor_qedit", async || {
            tool("condor_qedit", &["-constraint", &constraint, attribute, value]).await
        })
        .await;
    }

    /// Does something to all jobs of an HTCJob, as a user of HTCondor would: `condor_hold`, ….
    pub async fn act(&self, tool_name: &str, job: &Job) {
        self.act_on(tool_name, &format!("HTCOperatorUid == \"{}\"", job.uid)).await;
    }

    /// Does something to the job of one index of an HTCJob.
    pub async fn act_on_index(&self, tool_name: &str, job: &Job, index: u32) {
        self.act_on(tool_name, &format!("HTCOperatorKey == \"{}/{index}/0/0\"", job.uid)).await;
    }

    async fn act_on(&self, tool_name: &str, constraint: &str) {
        until(tool_name, async || tool(tool_name, &["-constraint", constraint]).await).await;
    }

    /// Submits a job that nobody wished, with a key of an HTCJob.
    pub async fn submit_by_hand(&self, job: &Job, key: &str) {
        let file = self.folder.join("by-hand");
        let text = format!(
            "executable = /bin/sleep\narguments = 1000\nMY.HTCOperatorInstance = \"{}\"\n\
             MY.HTCOperatorUid = \"{}\"\nMY.HTCOperatorKey = \"{key}\"\nqueue\n",
            self.id, job.uid
        );
        std::fs::write(&file, text).unwrap();
        tool("condor_submit", &[file.to_str().unwrap()]).await.unwrap();
    }

    /// The oracle: each index was committed with all its files exactly once, whatever happened.
    pub async fn assert_committed_once(&self, job: &Job, indices: u32) {
        self.assert_all_committed_once(&[(job, indices)]).await;
    }

    /// The same of many HTCJobs, with one question.
    pub async fn assert_all_committed_once(&self, jobs: &[(&Job, u32)]) {
        let history = ads("condor_history", &[], &self.ours()).await;
        let mut staged: BTreeMap<&str, BTreeMap<u32, BTreeSet<String>>> = BTreeMap::new();
        let queue = self.queue().await;
        for ad in history.iter().chain(&queue).filter(|ad| ad.contains_key("StageInFinish")) {
            let key = ad["HTCOperatorKey"].as_str().unwrap();
            let mut parts = key.split('/');
            let of_job = staged.entry(parts.next().unwrap()).or_default();
            let index = parts.next().unwrap().parse().unwrap();
            // What leaves the queue meanwhile is in both, and a schedd that is killed may write it down twice.
            of_job.entry(index).or_default().insert(format!("{key} as {}.{}", ad["ClusterId"], ad["ProcId"]));
        }
        for (job, indices) in jobs {
            let staged = staged.remove(job.uid.as_str()).unwrap_or_default();
            let twice: Vec<_> = staged.values().filter(|keys| keys.len() != 1).collect();
            assert!(twice.is_empty(), "{}: committed more than once: {twice:?}", job.name);
            let committed: Vec<u32> = staged.into_keys().collect();
            assert_eq!(committed, (0..*indices).collect::<Vec<_>>(), "{}: indices committed", job.name);
        }
    }
}

/// The jobs of an instance; others may put its id on theirs.
fn ours(instance: &str) -> String {
    let owner = std::env::var("USER").unwrap();
    format!("HTCOperatorInstance == \"{instance}\" && Owner == \"{owner}\"")
}

/// Takes everything of an instance out of the queue; an error says what is still there.
pub async fn remove_all(instance: &str) -> Result<(), String> {
    BOB.leave(instance).await?;
    let constraint = ours(instance);
    let left = tool("condor_q", &["-allusers", "-af", "ClusterId", "-constraint", &constraint]).await?;
    if left.trim().is_empty() {
        return Ok(());
    }
    tool("condor_qedit", &["-constraint", &constraint, "HTCAck", "true"]).await?;
    tool("condor_rm", &["-constraint", &constraint]).await?;
    Err(format!("clusters {left}"))
}
