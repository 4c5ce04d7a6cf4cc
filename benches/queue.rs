//! What the schedd's ads say of one instance: the only thing that counts as committed.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{FusedFuture, OptionFuture};
use htc_operator::condor::ad::Ad;
use htc_operator::condor::pool::Pool;
use htc_operator::condor::whose::Whose;
use htc_operator::condor::{act, inspect, query};
use htc_operator::config::tool_environment;
use htc_operator::engine::files::remove_folder;
use tokio::time::sleep;

use crate::harness::Bed;

/// Jobs that are not all there after this time will not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// When jobs were committed.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    /// The last tool had ended.
    pub spooled: Instant,
    /// All ads had `StageInFinish`: the moment before the first question that was answered so. The
    /// schedd takes up to a second for this after the tool has ended.
    pub staged: Instant,
}

/// The corners that there may be.
const NAMES: [&str; 2] = ["raw", "engine"];

/// An instance in the queue of the bed's schedd.
pub struct Queue {
    /// The schedd.
    pub pool: Pool,
    /// The instance id.
    pub instance: String,
}

/// An instance with a folder. When we are killed, the next run of the harness finds the folder and
/// clears the instance of its name.
pub struct Corner {
    /// Its jobs.
    pub queue: Queue,
    /// Its folder.
    pub folder: PathBuf,
    _lock: File,
}

/// How long it took, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Until the last tool had ended.
    pub spooled: f64,
    /// Until all ads had `StageInFinish`.
    pub staged: f64,
}

impl Committed {
    /// Counted from `began`.
    pub fn since(self, began: Instant) -> Took {
        let seconds = |at: Instant| (at - began).as_secs_f64();
        Took { spooled: seconds(self.spooled), staged: seconds(self.staged) }
    }
}

impl Corner {
    /// One beside that of the bed.
    pub fn beside(bed: &Bed, name: &str) -> Corner {
        assert!(NAMES.contains(&name), "it would not be cleared");
        let instance = format!("{}-{name}", bed.id);
        let folder = bed.folder.with_file_name(&instance);
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.try_lock().expect("it is new");
        Corner { queue: Queue::of(instance), folder, _lock: lock }
    }

    /// Nothing stays of those that were beside a bed, whatever became of their subject.
    pub async fn clear_all(bed: &Bed) -> Result<(), String> {
        for name in NAMES {
            let instance = format!("{}-{name}", bed.id);
            let folder = bed.folder.with_file_name(&instance);
            Queue::of(instance).clear().await?;
            remove_folder(&folder).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

impl Queue {
    /// That of an instance.
    pub fn of(instance: String) -> Queue {
        Queue { pool: Pool { environment: tool_environment(), ..Pool::default() }, instance }
    }

    /// All ads of its jobs.
    pub async fn ads(&self) -> Result<Vec<Ad>, String> {
        let whose = self.whose().await?;
        let (printed, strangers) = (BTreeSet::new(), query::Strangers::new());
        let question =
            query::Question { whose, is_confirmed: true, printed, open: Default::default(), strangers };
        let answer = query::all(&self.pool, question).await;
        answer.map(|answer| answer.ads).map_err(|e| e.to_string())
    }

    async fn whose(&self) -> Result<Whose, String> {
        let (mapping, _) = inspect::identity(&self.pool).await.map_err(|e| e.to_string())?;
        let owner = mapping.split('@').next().unwrap_or_default().to_owned();
        Ok(Whose { owner, instance: self.instance.clone() })
    }

    /// How many keys are committed with all their files.
    pub async fn staged(&self) -> Result<usize, String> {
        let ads = self.ads().await?;
        let staged = ads.iter().filter(|ad| ad.staged).map(|ad| ad.key.to_string());
        Ok(staged.collect::<HashSet<_>>().len())
    }

    /// Waits until so many are staged. Between the ends of tools, whose locks are in `intents`, there
    /// is nothing to ask, and asking costs.
    pub async fn until_staged(&self, n: usize, intents: &Path) -> Result<Committed, String> {
        let began = Instant::now();
        let (mut before, mut asked, mut seen) = (BTreeSet::new(), began, 0);
        let (mut spooled, mut news) = (began, false);
        let mut question = OptionFuture::from(None);
        while began.elapsed() < PATIENCE {
            let alive = tools_alive(intents);
            if alive != before {
                tracing::debug!(after = ?began.elapsed(), instance = self.instance, ?alive, "tools at work");
            }
            if before.difference(&alive).next().is_some() {
                (spooled, news) = (Instant::now(), true);
            }
            // The long one is only in case that the end of a tool was overlooked.
            let pause = Duration::from_millis(if alive.is_empty() && seen > 0 { 100 } else { 5000 });
            if question.is_terminated() && (news || asked.elapsed() > pause) {
                (asked, news) = (Instant::now(), false);
                question = Some(Box::pin(self.staged()).fuse()).into();
            }
            before = alive;
            tokio::select! {
                Some(answer) = &mut question => seen = answer?,
                () = sleep(Duration::from_millis(10)) => continue,
            }
            tracing::debug!(after = ?began.elapsed(), seen, "asked");
            if seen >= n {
                return Ok(Committed { spooled, staged: asked });
            }
        }
        Err(format!("only {seen} of {n} ads were there after {PATIENCE:?}"))
    }

    /// The same when all tools have ended just now.
    pub async fn until_staged_now(&self, n: usize) -> Result<Committed, String> {
        let spooled = Instant::now();
        let mut seen = 0;
        while spooled.elapsed() < PATIENCE {
            let staged = Instant::now();
            seen = self.staged().await?;
            if seen >= n {
                return Ok(Committed { spooled, staged });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(format!("only {seen} of {n} ads were there after {PATIENCE:?}"))
    }

    /// Takes all its jobs out of the queue.
    pub async fn clear(&self) -> Result<(), String> {
        let ours = self.whose().await?.all();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ads = self.ads().await?;
            if ads.is_empty() {
                return Ok(());
            }
            act::acknowledge(&self.pool, &ours).await.map_err(|e| e.to_string())?;
            act::remove(&self.pool, &ours).await.map_err(|e| e.to_string())?;
            sleep(Duration::from_millis(200)).await;
        }
        Err(format!("jobs of {} do not leave the queue", self.instance))
    }
}

/// The submissions whose tool holds its lock; to try the lock would disturb.
fn tools_alive(intents: &Path) -> BTreeSet<u64> {
    let held = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held: HashSet<&str> =
        held.split_whitespace().filter_map(|word| word.rsplit_once(':')).map(|w| w.1).collect();
    let Ok(entries) = fs::read_dir(intents) else { return BTreeSet::new() };
    let inode = |entry: fs::DirEntry| Some(fs::metadata(entry.path().join("lock")).ok()?.ino());
    let inodes = entries.filter_map(Result::ok).filter_map(inode);
    inodes.filter(|inode| held.contains(inode.to_string().as_str())).collect()
}
