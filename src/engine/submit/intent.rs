//! One submission, from the durable intent to the end of the tool. It may die after any line: the
//! intent, its lock and the keys in the ads let the next life find out what became of it.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::events;
use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{JobId, Progress};
use htc_core::workload::spec::{self, Events, ImageSettings, JobSpec};
use thiserror::Error;

use super::batch::Picked;
use super::doubt::Failed;
use crate::condor::failure::Failure;
use crate::condor::submit::{self, Row, Submission, Terms};
use crate::crash_point;
use crate::engine::board::{Board, Entry, Intent, Job, ToolEnd, Witness};
use crate::engine::files::{self, lock_intent, make_folder, write_private};
use crate::engine::wish::stored_job;
use crate::engine::{Inner, Options, words};
use crate::limits::{INTENT_DEADLINE, MESSAGE_MAX, SUBMIT_DEADLINE, TURN_KEPT};
use crate::store::database::{StoreError, now};
use crate::store::intents::NewIntent;
use crate::store::wishes::{Waiting, Want};
use crate::store::{intents, jobs, wishes};

/// Why a submission could not even be tried.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// The intent could not be made durable: nothing happened.
    #[error("failed to keep the intent: {0}")]
    Store(#[from] StoreError),
    /// Folders or files could not be written.
    #[error("failed to write the files of a submission into the data folder: {0}")]
    Files(#[from] std::io::Error),
    /// Writing them took so long that no time was left for the tool.
    #[error("the files of a submission were not written in time; is the data folder's disk slow?")]
    Slow,
}

impl Inner {
    /// Submits these jobs together; says how the tool ended. Whether they were committed is for
    /// the tracker to find out.
    pub(super) async fn submit(self: &Arc<Self>, picked: Vec<Picked>) -> Result<ToolEnd, SubmitError> {
        let began = Instant::now();
        let (id, picked) = self.intend(picked).await?;
        crash_point!("intent-durable");
        let end = self.call(id, &picked, began).await;
        let known = end.as_ref().map_or(ToolEnd::Unknown, Clone::clone);
        if known != ToolEnd::Well {
            self.doubt_owner();
        }
        let mut board = self.board();
        let told = self.note_doubts(&mut board, &picked, &known);
        if let Some(intent) = board.intents.get_mut(&id) {
            // The tool is dead: only a question that is asked after this proves anything.
            intent.dead = Some((Instant::now(), known));
        }
        let abandoned = self.abandoned(&board, &picked);
        drop(board);
        // Nobody waits for this, and what stays goes at the next start.
        tokio::task::spawn_blocking(move || abandoned.iter().map(|f| files::remove_folder(f)).for_each(drop));
        self.ring(told);
        self.look_bell.notify_one();
        end
    }

    /// After a failure that a job may be to blame for, its workloads are tried in halves, until one job fails
    /// alone; what is taken lets them grow again. Gives the workloads that have news of it.
    fn note_doubts(&self, board: &mut Board, picked: &[Picked], end: &ToolEnd) -> Vec<Uid> {
        let mut indices: BTreeMap<&Uid, Vec<u32>> = BTreeMap::new();
        picked.iter().for_each(|p| indices.entry(&p.key.uid).or_default().push(p.key.index));
        let mut told = Vec::new();
        for (uid, indices) in indices {
            let Some(run) = board.entries.get_mut(uid).and_then(Entry::run_mut) else { continue };
            let before = run.doubts.as_ref().and_then(|doubts| doubts.obstacle.clone());
            match end {
                ToolEnd::Failed(about, why) if is_doubtful(*about, picked.len()) => {
                    let failed = Failed {
                        indices: &indices,
                        rows: picked.len(),
                        refused: *about == Failure::Refused,
                        why,
                        refused_after: self.options.refused_after,
                    };
                    run.doubts.get_or_insert_default().failed(&failed, Instant::now(), now());
                }
                ToolEnd::Well => {
                    if let Some(doubts) = &mut run.doubts {
                        doubts.went_well(&indices, self.options.max_jobs_per_submission);
                    }
                    run.doubts.take_if(|doubts| doubts.are_over());
                }
                ToolEnd::Failed(..) | ToolEnd::Unknown => {}
            }
            if before != run.doubts.as_ref().and_then(|doubts| doubts.obstacle.clone()) {
                told.push(uid.clone());
            }
        }
        told
    }

    /// Folders of workloads that nothing is left of: they were buried before their files were written.
    fn abandoned(&self, board: &Board, picked: &[Picked]) -> Vec<PathBuf> {
        let is_buried = |uid: &Uid| board.entries.want(uid) == Some(Want::Tombstone);
        workloads(picked).into_iter().filter(is_buried).map(|uid| self.workload_folder(&uid)).collect()
    }

    /// Makes the intent durable: from here on the keys are taken. Gives those that are still wanted.
    async fn intend(&self, picked: Vec<Picked>) -> Result<(i64, Vec<Picked>), StoreError> {
        let intent = NewIntent {
            created: now(),
            deadline: Some(now() + INTENT_DEADLINE.as_secs().cast_signed()),
            boot: self.boot.id.clone(),
            host: self.boot.host.clone(),
        };
        let created = intent.created;
        let (kept, picked, rows) = {
            // Under one lock with the request, so that ranges reach the disk in the board's order.
            let mut board = self.board();
            let picked = take(&mut board, picked);
            let ranges = |uid: Uid| board.entries.get(&uid).map(|e| (uid.clone(), e.waiting().to_vec()));
            let waiting: Vec<_> = workloads(&picked).into_iter().filter_map(ranges).collect();
            let rows: Vec<(String, Job)> = picked.iter().map(|p| (p.name.clone(), self.new_job(p))).collect();
            let durable = rows.clone();
            let kept = self.store.call(move |t| {
                let id = intents::create(t, &intent)?;
                waiting.iter().try_for_each(|(uid, ranges)| wishes::replace_waiting(t, uid, ranges))?;
                for (name, job) in &durable {
                    jobs::insert(t, &jobs::StoredJob { intent: Some(id), ..stored_job(name, job) })?;
                }
                Ok(id)
            });
            (kept, picked, rows)
        };
        let kept = kept.await;
        self.believe_intent(&kept, created, rows);
        kept.map(|id| (id, picked))
    }

    fn new_job(&self, picked: &Picked) -> Job {
        let progress = Progress::Submitting { job: None };
        Job::new(picked.key.clone(), self.folder(&picked.key), progress, None)
    }

    fn believe_intent(&self, kept: &Result<i64, StoreError>, created: i64, rows: Vec<(String, Job)>) {
        let mut board = self.board();
        if let Ok(id) = kept {
            let deadline = created + INTENT_DEADLINE.as_secs().cast_signed();
            let witness = Witness::Submitter;
            board.intents.insert(*id, Intent { created, deadline, rows: rows.len(), witness, dead: None });
        }
        let mut served = HashSet::new();
        for (_, mut job) in rows {
            let JobKey { index, attempt, submission, .. } = job.key;
            // Abandoned in this moment: what the tool commits is removed by its tombstone.
            let Some(entry) = board.entries.get_mut(&job.key.uid) else { continue };
            entry.intended -= 1;
            match kept {
                Ok(id) => {
                    entry.run_mut().into_iter().for_each(|run| run.waits_since = Instant::now());
                    served.insert(entry.namespace.clone());
                    job.intent = Some(*id);
                    entry.jobs.insert(index, Box::new(job));
                }
                Err(_) => entry.put_back(index, attempt, submission),
            }
        }
        let now = Instant::now();
        board.served.retain(|_, at| at.elapsed() < TURN_KEPT);
        board.served.extend(served.into_iter().map(|namespace| (namespace, now)));
    }

    /// Writes the files, starts the tool and follows it to its end. The tool is dead before the intent's
    /// deadline.
    async fn call(
        self: &Arc<Self>,
        id: i64,
        picked: &[Picked],
        began: Instant,
    ) -> Result<ToolEnd, SubmitError> {
        let (description, lock) = self.prepare(id, picked).await?;
        crash_point!("submit-files-written");
        let left = INTENT_DEADLINE.saturating_sub(began.elapsed()).min(SUBMIT_DEADLINE);
        if left < Duration::from_secs(1) {
            return Err(SubmitError::Slow);
        }
        let started = Instant::now();
        let mut committed = false;
        let end = match Submission::start(&self.pool, &description, lock, left) {
            Ok(mut submission) => {
                crash_point!("submit-tool-started");
                if let Some(first) = submission.first_id().await {
                    committed = true;
                    crash_point!("submit-id-read");
                    self.note_ids(first, picked).await?;
                    crash_point!("submit-id-durable");
                }
                submission.finish().await
            }
            Err(why) => Err(why),
        };
        crash_point!("submit-tool-ended");
        let failed =
            end.map_err(|why| (Failure::of(&why, committed), words::shortened(why.to_string(), MESSAGE_MAX)));
        let label = failed.as_ref().err().map(|(about, _)| about.label());
        self.metrics.submission(picked.len(), started.elapsed(), label);
        Ok(match failed {
            Ok(()) => ToolEnd::Well,
            Err((about, why)) => {
                tracing::warn!(
                    why,
                    about = about.label(),
                    jobs = picked.len(),
                    "a submission failed; its jobs are looked for"
                );
                ToolEnd::Failed(about, why)
            }
        })
    }

    /// The ids, as soon as the tool prints them: row n is proc n.
    async fn note_ids(&self, first: JobId, picked: &[Picked]) -> Result<(), StoreError> {
        let id = |n: usize| JobId { proc: first.proc + u32::try_from(n).unwrap_or(u32::MAX), ..first };
        let ids: Vec<(JobKey, JobId)> =
            picked.iter().enumerate().map(|(n, p)| (p.key.clone(), id(n))).collect();
        let durable = ids.clone();
        self.store.call(move |t| durable.iter().try_for_each(|(key, id)| jobs::set_id(t, key, *id))).await?;
        let mut board = self.board();
        for (key, id) in ids {
            if let Some(job) = board.job_mut(&key)
                && let Progress::Submitting { job } = &mut job.progress
            {
                *job = Some(id);
            }
        }
        // No bell: the jobs settle in a moment, and one status says both.
        Ok(())
    }

    /// Writes `job.json` for each job, the description and the lock.
    async fn prepare(self: &Arc<Self>, id: i64, picked: &[Picked]) -> Result<(PathBuf, File), SubmitError> {
        let (inner, picked) = (self.clone(), picked.to_vec());
        let work = move || {
            let folder = inner.intent_folder(id);
            let lock = lock_intent(&folder)?;
            // One after the other: a script may be large.
            picked.iter().try_for_each(|p| inner.write_job_file(p))?;
            let rows: Vec<Row> = picked.iter().map(|p| inner.row(p)).collect();
            let Options { instance, sender, max_output_mb, worker_requirements, .. } = &inner.options;
            let of_images = worker_requirements.as_deref();
            let text = submit::description(instance, sender, *max_output_mb, of_images, &rows);
            let description = folder.join("submit");
            write_private(&description, text.as_bytes())?;
            Ok((description, lock))
        };
        tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
    }

    fn write_job_file(&self, picked: &Picked) -> std::io::Result<()> {
        let folder = self.folder(&picked.key);
        let (key_id, master) = self.keys.signing();
        let events = Events {
            key_id: key_id.to_owned(),
            key: events::job_key(master, &picked.key),
            route: self.options.route.clone(),
        };
        let (key, images) = (picked.key.clone(), self.images(&picked.namespace));
        let most = self.options.max_output_files;
        let job =
            JobSpec::new(&picked.workload, &picked.namespace, key, &folder, Some(events), &images, most);
        make_folder(Path::new(&folder))?;
        write_private(&Path::new(&folder).join(spec::FILE), &serde_json::to_vec(&job)?)
    }

    /// How images get to a job of this namespace.
    fn images(&self, namespace: &str) -> ImageSettings {
        let mut images = self.options.images.clone();
        if let Some(cache) = images.cache.as_mut().filter(|_| !self.options.image_cache_shared) {
            // The prefix keeps it a plain folder, whatever the namespace is called.
            cache.folder = Some(format!("ns-{namespace}"));
        }
        images
    }

    fn row(&self, picked: &Picked) -> Row {
        let Picked { key, namespace, name, workload, passed_over } = picked;
        Row {
            key: key.clone(),
            folder: self.folder(key),
            namespace: namespace.clone(),
            name: name.clone(),
            terms: Terms { passed_over: passed_over.clone(), ..Terms::from(&**workload) },
        }
    }
}

/// Whether one of the jobs may be to blame. Files that do not arrive are asked for in smaller batches first.
fn is_doubtful(about: Failure, rows: usize) -> bool {
    match about {
        Failure::Refused | Failure::Unknown => true,
        Failure::Spool => rows == 1,
        Failure::Pool | Failure::Ours | Failure::Batch | Failure::Queue => false,
    }
}

/// Each once.
fn workloads(picked: &[Picked]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = picked.iter().map(|p| p.key.uid.clone()).collect();
    uids.sort();
    uids.dedup();
    uids
}

/// Takes the picked indices out of what waits; those that are not wanted any more are left out, and so are those
/// that wait with another key by now.
fn take(board: &mut Board, picked: Vec<Picked>) -> Vec<Picked> {
    let mut wanted = |p: &Picked| {
        let entry = board.entries.get_mut(&p.key.uid)?;
        let Waiting { attempt, submission, .. } = entry.take(p.key.index)?;
        if (attempt, submission) != (p.key.attempt, p.key.submission) {
            entry.put_back(p.key.index, attempt, submission);
            return None;
        }
        entry.intended += 1;
        Some(())
    };
    picked.into_iter().filter(|p| wanted(p).is_some()).collect()
}
