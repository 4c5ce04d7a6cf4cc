//! Which queue the store was kept for. Absence in the answer of another queue proves nothing, so until the
//! two are known to belong together nothing is submitted, removed or ended.

use std::time::Instant;

use htc_core::workload::names::Uid;

use super::board::{Board, Obstacle};
use super::{Engine, Inner};
use crate::condor::cli::CallError;
use crate::condor::whose::Whose;
use crate::condor::{newest, schedd};
use crate::crash_point;
use crate::limits::ORIGIN_AGAIN;
use crate::store::database::{StoreError, Transaction};
use crate::store::facts;

/// Whether the store was kept for the queue that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Not compared yet, or jobs have been missing since.
    #[default]
    Unknown,
    /// It was.
    Same,
    /// It was kept for another, or is older than this one.
    Other(Box<Mismatch>),
}

/// What keeps the store and the queue apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// A clause each.
    pub differences: Vec<String>,
    /// The queue that answers.
    seen: Queue,
    /// The highest cluster of a job of ours that the store does not know.
    cluster: u32,
}

/// What tells one queue from another; what is not known differs from nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Our instance id, which marks our jobs.
    pub instance: Option<String>,
    /// The schedd's name.
    pub schedd: Option<String>,
    /// When the schedd's queue was made, epoch seconds.
    pub birthdate: Option<String>,
    /// Whose jobs ours are there.
    pub owner: Option<String>,
}

impl Queue {
    /// The names of the facts and what they are in a sentence.
    fn facts(&self) -> [(&'static str, &'static str, &Option<String>); 4] {
        let Queue { instance, schedd, birthdate, owner } = self;
        [
            ("instance", "the instance id", instance),
            ("schedd", "the schedd", schedd),
            ("queue_birthdate", "the birthdate of its queue", birthdate),
            ("owner", "the owner of our jobs", owner),
        ]
    }

    /// What differs, a clause each.
    fn differences(&self, seen: &Queue) -> Vec<String> {
        let pairs = self.facts().into_iter().zip(seen.facts());
        let differs =
            |((_, what, kept), (_, _, seen)): ((_, &str, &Option<String>), (_, _, &Option<String>))| {
                let (kept, seen) = (kept.as_ref()?, seen.as_ref()?);
                (kept != seen).then(|| format!("{what} was {kept} and is {seen}"))
            };
        pairs.filter_map(differs).collect()
    }

    /// What the store knows.
    fn load(t: &Transaction<'_>) -> Result<Queue, StoreError> {
        Ok(Queue {
            instance: facts::get(t, "instance")?,
            schedd: facts::get(t, "schedd")?,
            birthdate: facts::get(t, "queue_birthdate")?,
            owner: facts::get(t, "owner")?,
        })
    }

    fn keep(&self, t: &Transaction<'_>) -> Result<(), StoreError> {
        let known = |(name, _, value): (_, _, &Option<String>)| Some((name, value.clone()?));
        self.facts().into_iter().filter_map(known).try_for_each(|(name, value)| facts::put(t, name, &value))
    }
}

impl Engine {
    /// Whether the queue that answers has been compared with the store.
    pub fn is_compared(&self) -> bool {
        self.0.board().origin != Origin::Unknown
    }

    /// What keeps the store and the queue apart; empty where nothing does.
    pub fn mismatch(&self) -> Vec<String> {
        match &self.0.board().origin {
            Origin::Other(mismatch) => mismatch.differences.clone(),
            Origin::Unknown | Origin::Same => Vec::new(),
        }
    }

    /// From now on the store belongs to the queue that answers. Gives what differed.
    pub async fn accept_queue(&self) -> Result<Vec<String>, StoreError> {
        let inner = &self.0;
        let Origin::Other(mismatch) = inner.board().origin.clone() else { return Ok(Vec::new()) };
        let Mismatch { differences, seen, cluster } = *mismatch;
        let durable = seen.clone();
        inner
            .store
            .call(move |t| {
                durable.keep(t)?;
                facts::raise_cluster(t, cluster)
            })
            .await?;
        {
            let mut board = inner.board();
            board.origin = Origin::Same;
            board.obstacle = None;
            board.highest_cluster = board.highest_cluster.max(cluster);
        }
        tracing::warn!(?differences, "the store now belongs to the queue that answers");
        inner.metrics.mismatch.set(0);
        inner.ring_all();
        inner.look_bell.notify_one();
        Ok(differences)
    }
}

impl Inner {
    /// Whether this answer is of the queue that the store was kept for. Compared until it is the same, and again
    /// when jobs have begun to be missing. `unknown` is the highest cluster in the queue of jobs of ours whose workload is not known here.
    pub(super) async fn is_own_queue(
        &self,
        whose: &Whose,
        owner: Option<&String>,
        missing: bool,
        unknown: u32,
    ) -> Result<bool, StoreError> {
        {
            let mut board = self.board();
            // Also where the store fails now: jobs begin to be missing only once.
            board.to_compare |= missing;
            if board.origin == Origin::Same && !board.to_compare {
                return Ok(true);
            }
            // A person will decide: until then it is enough to ask now and then.
            let is_fresh = board.compared.is_some_and(|at| at.elapsed() < ORIGIN_AGAIN);
            if is_fresh && matches!(board.origin, Origin::Other(_)) {
                return Ok(false);
            }
        }
        self.board().compared = Some(Instant::now());
        let seen = match self.seen_queue(whose, owner).await {
            Ok(seen) => seen,
            Err(why) => {
                self.doubt(Origin::Unknown, &format!("the queue that answers cannot be identified: {why}"));
                return Ok(false);
            }
        };
        let kept = self.store.call(Queue::load).await?;
        let mut differences = kept.differences(&seen);
        let cluster = self.unknown_cluster(whose, unknown).await;
        if cluster > 0 {
            differences.push(format!(
                "the pool has a job of ours, of cluster {cluster}, that the database does not know, so the \
                 database is new or older than the queue"
            ));
        }
        if !differences.is_empty() {
            let why = format!(
                "the database was kept for another queue: {}. Nothing is submitted, removed or ended. If the \
                 database and the queue belong together: htc-operator db accept",
                differences.join("; ")
            );
            self.doubt(Origin::Other(Box::new(Mismatch { differences, seen, cluster })), &why);
            return Ok(false);
        }
        let known = seen.clone();
        let learnt = self.clusters_of_earlier_releases(whose).await;
        self.store
            .call(move |t| {
                known.keep(t)?;
                learnt.map_or(Ok(()), |highest| facts::know_clusters(t, highest))
            })
            .await?;
        crash_point!("origin-durable");
        self.metrics.mismatch.set(0);
        let mut board = self.board();
        board.to_compare = false;
        if let Some(highest) = learnt {
            (board.highest_cluster, board.clusters_unknown) = (highest, false);
        }
        if board.origin != Origin::Same {
            board.origin = Origin::Same;
            board.obstacle = None;
            drop(board);
            self.ring_all();
            self.submit_bell.notify_one();
        }
        Ok(true)
    }

    /// What is not known is no difference: the tools may find a schedd by other ways than we can tell, and who we
    /// are counts once an ad has confirmed it.
    async fn seen_queue(&self, whose: &Whose, owner: Option<&String>) -> Result<Queue, CallError> {
        let schedd = schedd::ours(&self.pool).await?;
        Ok(Queue {
            instance: Some(whose.instance.clone()),
            birthdate: schedd.as_ref().and_then(|schedd| schedd.job_queue_birthdate).map(|at| at.to_string()),
            schedd: schedd.map(|schedd| schedd.name),
            owner: owner.cloned(),
        })
    }

    /// The cluster of a job of ours, in the queue or in the history, that is newer than all that the store has
    /// ever had; 0 without, or where the outside objects know of it. A history that may not be read says nothing.
    async fn unknown_cluster(&self, whose: &Whose, in_queue: u32) -> u32 {
        if !self.options.sole_record || self.board().origin == Origin::Same {
            return 0;
        }
        let known = known_cluster(&self.board());
        if in_queue > known {
            return in_queue;
        }
        if self.board().clusters_unknown {
            return 0;
        }
        let remembered = newest::above(&self.pool, whose, known).await.unwrap_or_else(|why| {
            tracing::warn!(%why, "the history cannot be asked for jobs that the database does not know");
            Vec::new()
        });
        let board = self.board();
        let is_unknown = |uid: &Option<Uid>| !uid.as_ref().is_some_and(|uid| board.entries.contains_key(uid));
        let unknown = remembered.into_iter().filter(|(_, uid)| is_unknown(uid));
        unknown.map(|(cluster, _)| cluster).max().unwrap_or(0)
    }

    /// The highest cluster of a store that an earlier release has kept and whose jobs are gone; none where it is
    /// known, or cannot be asked for now.
    async fn clusters_of_earlier_releases(&self, whose: &Whose) -> Option<u32> {
        let known = {
            let board = self.board();
            board.clusters_unknown.then(|| known_cluster(&board))?
        };
        if !self.options.sole_record {
            return Some(known);
        }
        match newest::above(&self.pool, whose, known).await {
            Ok(remembered) => Some(remembered.iter().map(|(cluster, _)| *cluster).fold(known, u32::max)),
            Err(why) => {
                tracing::warn!(%why, "the history cannot be asked for the jobs of an earlier release");
                None
            }
        }
    }

    /// Nothing may be concluded for now, and those who wait are told why.
    fn doubt(&self, origin: Origin, why: &str) {
        self.metrics.mismatch.set(i64::from(matches!(origin, Origin::Other(_))));
        let obstacle = Obstacle::mismatch(why.to_owned());
        let news = {
            let mut board = self.board();
            board.origin = origin;
            board.obstacle.as_ref() != Some(&obstacle)
        };
        if news {
            tracing::error!(why, "the database and the queue are not known to belong together");
            self.board().obstacle = Some(obstacle);
            self.ring_all();
        }
    }
}

/// The highest cluster that the store has had.
fn known_cluster(board: &Board) -> u32 {
    let clusters = board.entries.iter().flat_map(|(_, entry)| entry.ids()).map(|(_, id)| id.cluster);
    clusters.max().unwrap_or(0).max(board.highest_cluster)
}
