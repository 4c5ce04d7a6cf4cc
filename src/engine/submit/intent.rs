//! One submission, from the durable intent to the end of the tool. It may die after any line: the
//! intent, its lock and the keys in the ads let the next life find out what became of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use htc_core::events;
use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{JobId, Progress};
use htc_core::workload::spec::{self, Events, JobSpec};
use thiserror::Error;

use super::batch::Picked;
use crate::condor::submit::{self, Row, Submission, Terms};
use crate::crash_point;
use crate::engine::board::{Board, Intent, Job, Obstacle, ToolEnd};
use crate::engine::files::{lock_intent, make_folder, write_private};
use crate::engine::wish::stored_job;
use crate::engine::{Inner, Options};
use crate::store::database::{StoreError, now};
use crate::store::wishes::Want;
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
}

impl Inner {
    /// Submits these jobs together; says how the tool ended. Whether they were committed is for
    /// the tracker to find out.
    pub(super) async fn submit(self: &Arc<Self>, picked: Vec<Picked>) -> Result<ToolEnd, SubmitError> {
        let (id, picked) = self.intend(picked).await?;
        crash_point!("intent-durable");
        let end = self.call(id, &picked).await;
        self.note_end(id, &picked, end.as_ref().map_or(ToolEnd::Unknown, Clone::clone));
        self.look_bell.notify_one();
        end
    }

    /// The tool is dead. After a refusal its workloads are tried in halves, until a job is refused
    /// alone; what is taken lets them grow again.
    fn note_end(&self, id: i64, picked: &[Picked], end: ToolEnd) {
        let mut board = self.board();
        for uid in workloads(picked) {
            let Some(entry) = board.entries.get_mut(&uid) else { continue };
            entry.at_most = match &end {
                ToolEnd::Refused(_) => Some((picked.len() / 2).max(1)),
                ToolEnd::Well => {
                    entry.at_most.map(|n| n * 2).filter(|n| *n < self.options.max_jobs_per_submission)
                }
                ToolEnd::Full | ToolEnd::Outage | ToolEnd::Unknown => entry.at_most,
            };
        }
        if let Some(intent) = board.intents.get_mut(&id) {
            intent.dead = Some((Instant::now(), end));
        }
    }

    /// Makes the intent durable: from here on the keys are taken. Gives those that are still wanted.
    async fn intend(&self, picked: Vec<Picked>) -> Result<(i64, Vec<Picked>), StoreError> {
        let (kept, picked, rows) = {
            // Under one lock with the request, so that ranges reach the disk in the board's order.
            let mut board = self.board();
            let picked = take(&mut board, picked);
            let ranges = |uid: Uid| board.entries.get(&uid).map(|e| (uid.clone(), e.waiting.clone()));
            let waiting: Vec<_> = workloads(&picked).into_iter().filter_map(ranges).collect();
            let rows: Vec<(String, Job)> = picked.iter().map(|p| (p.name.clone(), self.new_job(p))).collect();
            let durable = rows.clone();
            let kept = self.store.call(move |t| {
                let id = intents::create(t)?;
                waiting.iter().try_for_each(|(uid, ranges)| wishes::replace_waiting(t, uid, ranges))?;
                for (name, job) in &durable {
                    jobs::insert(t, &jobs::StoredJob { intent: Some(id), ..stored_job(name, job) })?;
                }
                Ok(id)
            });
            (kept, picked, rows)
        };
        let kept = kept.await;
        self.believe_intent(&kept, rows);
        kept.map(|id| (id, picked))
    }

    fn new_job(&self, picked: &Picked) -> Job {
        let progress = Progress::Submitting { job: None };
        Job::new(picked.key.clone(), self.folder(&picked.key), progress, None)
    }

    fn believe_intent(&self, kept: &Result<i64, StoreError>, rows: Vec<(String, Job)>) {
        let mut board = self.board();
        if let Ok(id) = kept {
            let intent = Intent { created: now(), rows: rows.len(), at_work: true, dead: None };
            board.intents.insert(*id, intent);
        }
        for (_, mut job) in rows {
            let JobKey { index, attempt, submission, .. } = job.key;
            // Abandoned in this moment: what the tool commits is removed by its tombstone.
            let Some(entry) = board.entries.get_mut(&job.key.uid) else { continue };
            entry.intended -= 1;
            match kept {
                Ok(id) => {
                    entry.served = Some(Instant::now());
                    job.intent = Some(*id);
                    entry.jobs.insert(index, Box::new(job));
                }
                Err(_) => entry.put_back(index, attempt, submission),
            }
        }
    }

    /// Writes the files, starts the tool and follows it to its end.
    async fn call(self: &Arc<Self>, id: i64, picked: &[Picked]) -> Result<ToolEnd, SubmitError> {
        let (description, lock) = self.prepare(id, picked).await?;
        crash_point!("submit-files-written");
        let started = Instant::now();
        let mut submission = match Submission::start(&self.pool, &description, lock) {
            Ok(submission) => submission,
            Err(why) => {
                tracing::error!(%why, "failed to submit");
                self.obstructed(Obstacle::ours(why.to_string()));
                return Ok(ToolEnd::Outage);
            }
        };
        crash_point!("submit-tool-started");
        if let Some(first) = submission.first_id().await {
            crash_point!("submit-id-read");
            self.note_ids(first, picked).await?;
            crash_point!("submit-id-durable");
        }
        let end = submission.finish().await;
        crash_point!("submit-tool-ended");
        self.metrics.submission(picked.len(), started.elapsed(), end.as_ref().err().map(|e| e.kind()));
        Ok(match end {
            Ok(()) => {
                self.board().obstacle = None;
                ToolEnd::Well
            }
            Err(why) if submit::is_full(&why) => {
                tracing::warn!(%why, jobs = picked.len(), "the queue takes no more; it is tried again with fewer");
                self.obstructed(Obstacle::full(format!("the schedd takes no more jobs for now: {why}")));
                ToolEnd::Full
            }
            Err(why) if submit::is_outage(&why) => {
                tracing::warn!(%why, jobs = picked.len(), "a submission failed; its jobs are looked for");
                self.obstructed(Obstacle::pool(why.to_string()));
                ToolEnd::Outage
            }
            Err(why) => {
                tracing::warn!(%why, jobs = picked.len(), "a submission was refused");
                ToolEnd::Refused(why.to_string())
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
            let Options { instance, sender, max_output_mb, .. } = &inner.options;
            let text = submit::description(instance, sender, *max_output_mb, &rows);
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
        let (key, images) = (picked.key.clone(), &self.options.images);
        let job = JobSpec::new(&picked.workload, &picked.namespace, key, &folder, Some(events), images);
        make_folder(Path::new(&folder))?;
        write_private(&Path::new(&folder).join(spec::FILE), &serde_json::to_vec(&job)?)
    }

    fn row(&self, picked: &Picked) -> Row {
        let Picked { key, namespace, name, workload } = picked;
        Row {
            key: key.clone(),
            folder: self.folder(key),
            batch_name: if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") },
            terms: Terms::from(&**workload),
        }
    }
}

/// Each once.
fn workloads(picked: &[Picked]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = picked.iter().map(|p| p.key.uid.clone()).collect();
    uids.sort();
    uids.dedup();
    uids
}

/// Takes the picked indices out of what waits; those that are not wanted any more are left out.
fn take(board: &mut Board, picked: Vec<Picked>) -> Vec<Picked> {
    let mut wanted = |p: &Picked| {
        let entry = board.entries.get_mut(&p.key.uid).filter(|entry| entry.want == Want::Run)?;
        entry.take(p.key.index)?;
        entry.intended += 1;
        Some(())
    };
    picked.into_iter().filter(|p| wanted(p).is_some()).collect()
}
