//! Who we are to the schedd: the account that owns our jobs. Everybody may put our instance id on jobs of
//! their own, so what bears it counts only with this owner.
//!
//! The schedd is asked, and asked again whenever a tool has failed, since a credential may be changed at any
//! time. How it names us may differ from what it writes into ads; the ad of a job whose id our own
//! `condor_submit` printed settles that.

use std::collections::BTreeSet;
use std::time::Instant;

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;

use super::Inner;
use super::board::{Board, Job};
use crate::condor::inspect;
use crate::condor::query::{self, Answer, Foreign};
use crate::condor::whose::Whose;
use crate::limits::{FOREIGN_ASKED, OWNER_ASKED, PRINTED_ASKED};

/// Who we are to the schedd.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The account that owns our jobs.
    pub name: String,
    /// As whom the schedd takes us: the account, and where it is from.
    pub mapping: String,
    /// Whether an ad whose id our own `condor_submit` printed has shown that it is so.
    pub confirmed: bool,
    /// When the schedd was last asked; nothing where it must be asked again.
    pub asked: Option<Instant>,
    /// When jobs of others that bear our instance id were last looked for.
    pub foreign_sought: Instant,
}

impl Inner {
    /// Whose jobs are ours, and whether that is confirmed. An error is a sentence: without an answer nothing
    /// is known of any job.
    pub(super) async fn ask_owner(&self) -> Result<(Whose, bool), String> {
        let known = self.board().owner.clone();
        let is_fresh = |owner: &Owner| owner.asked.is_some_and(|at| at.elapsed() < OWNER_ASKED);
        if !known.as_ref().is_some_and(|owner| is_fresh(owner) && !self.has_new_credential(owner)) {
            let began = Instant::now();
            match (inspect::identity(&self.pool).await, known) {
                (Ok((mapping, _)), _) => take(&mut self.board(), mapping, began)?,
                // The question itself is no better than what is known.
                (Err(why), Some(_)) => {
                    tracing::warn!(%why, "the schedd does not say who we are; it is asked again");
                    self.board().owner.iter_mut().for_each(|owner| owner.asked = Some(began));
                }
                (Err(why), None) => return Err(format!("the schedd does not say who we are: {why}")),
            }
        }
        let owner = self.board().owner.clone();
        let owner = owner.ok_or("the schedd does not say who we are")?;
        Ok((Whose { owner: owner.name, instance: self.options.instance.clone() }, owner.confirmed))
    }

    /// Whose jobs are ours, once that is known: nothing is done in the pool before.
    pub(super) fn whose(&self) -> Option<Whose> {
        let board = self.board();
        let owner = board.owner.as_ref()?.name.clone();
        Some(Whose { owner, instance: self.options.instance.clone() })
    }

    /// Whether a credential has changed since we were told who we are: nothing is submitted before we are told again.
    pub(super) fn has_new_credential(&self, owner: &Owner) -> bool {
        let changed = self.credentials.changed();
        changed.is_some_and(|changed| owner.asked.is_none_or(|asked| asked < changed))
    }

    /// Something has failed, perhaps because our credential is another one now.
    pub(super) fn doubt_owner(&self) {
        self.board().owner.iter_mut().for_each(|owner| owner.asked = None);
    }

    /// Learns from an answer who we are. Says whether it was another than we took ourselves for: then the
    /// answer was no answer about our jobs.
    pub(super) fn confirm_owner(&self, answer: &Answer) -> bool {
        let mut board = self.board();
        if board.owner.as_ref().is_none_or(|owner| owner.confirmed) {
            return false;
        }
        let is_ours = |foreign: &&Foreign| {
            let job = foreign.key.as_ref().and_then(|key| board.job(key));
            job.and_then(Job::printed).is_some_and(|id| Some(id) == foreign.job)
        };
        let is_known = answer
            .ads
            .iter()
            .any(|ad| board.job(&ad.key).is_some_and(|job| job.progress.job() == Some(ad.job)));
        let other = answer.foreign.iter().find(is_ours).map(|foreign| foreign.owner.clone());
        let Some(owner) = &mut board.owner else { return false };
        owner.confirmed = is_known || other.is_some();
        let Some(other) = other.filter(|_| !is_known) else { return false };
        tracing::info!(owner = other, mapping = owner.mapping, "the schedd gives our jobs another owner");
        owner.name = other;
        true
    }

    /// Looks now and then for jobs of others that bear our instance id, once answers are without them.
    pub(super) async fn look_for_foreign(&self, whose: &Whose, answer: &Answer, is_confirmed: bool) {
        if !is_confirmed {
            return self.note_foreign(&answer.foreign);
        }
        let due = |owner: &Owner| owner.foreign_sought.elapsed() > OWNER_ASKED;
        if !self.board().owner.as_ref().is_some_and(due) {
            return;
        }
        self.board().owner.iter_mut().for_each(|owner| owner.foreign_sought = Instant::now());
        match query::foreign(&self.pool, whose, FOREIGN_ASKED).await {
            Ok(others) => self.note_foreign(&others.jobs),
            Err(why) => tracing::debug!(%why, "failed to look for jobs of others with our instance id"),
        }
    }

    fn note_foreign(&self, foreign: &[Foreign]) {
        self.metrics.foreign.set(foreign.len() as i64);
        let before = std::mem::replace(&mut self.board().foreign, foreign.len());
        if let Some(first) = foreign.first().filter(|_| before == 0) {
            tracing::warn!(
                jobs = foreign.len(),
                owner = first.owner,
                job = first.job.map(|job| job.to_string()),
                "jobs of another user bear our instance id; they are ignored"
            );
        }
    }
}

impl Board {
    /// Clusters that our own tool has printed, some of them.
    pub(super) fn printed(&self) -> BTreeSet<u32> {
        self.jobs().filter_map(Job::printed).map(|id| id.cluster).take(PRINTED_ASKED).collect()
    }

    /// Keys of jobs whose submissions are open.
    pub(super) fn open(&self) -> BTreeSet<JobKey> {
        self.jobs().filter(|job| job.intent.is_some()).map(|job| job.key.clone()).collect()
    }
}

impl Job {
    /// HTCondor's id, where our own tool has printed it: as long as the submission is unsettled.
    fn printed(&self) -> Option<JobId> {
        self.progress.job().filter(|_| self.intent.is_some())
    }
}

/// Takes what the schedd says of us. Jobs of one account are not those of another: with jobs under way it
/// must stay the same.
fn take(board: &mut Board, mapping: String, asked: Instant) -> Result<(), String> {
    let name = mapping.split('@').next().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err("the schedd does not say who we are: it names no account".to_owned());
    }
    let is_busy = board.live() > 0 || !board.intents.is_empty();
    match &mut board.owner {
        Some(owner) if owner.mapping == mapping => owner.asked = Some(asked),
        Some(owner) if is_busy => {
            return Err(format!(
                "the schedd takes us for {mapping} now, and the jobs here are of {}; give the operator the \
                 credential back that it had, or restart it to follow jobs of {mapping} only",
                owner.mapping
            ));
        }
        owner => {
            tracing::info!(mapping, "the schedd has said who we are");
            *owner =
                Some(Owner { name, mapping, confirmed: false, asked: Some(asked), foreign_sought: asked });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::Progress;

    use super::*;
    use crate::engine::board::Entry;

    #[test]
    fn the_account_may_change_only_while_no_job_is_under_way() {
        let mut board = Board::default();
        assert!(take(&mut board, "@pool".into(), Instant::now()).is_err());
        take(&mut board, "alice@pool".into(), Instant::now()).unwrap();
        take(&mut board, "bob@pool".into(), Instant::now()).unwrap();
        let mut entry = Entry::bare(&[]);
        let progress = Progress::Submitting { job: None };
        entry
            .jobs
            .insert(0, Box::new(Job::new("u/0/0/0".parse().unwrap(), String::new(), progress, Some(1))));
        board.entries.insert("u".parse().unwrap(), entry);
        let why = take(&mut board, "alice@pool".into(), Instant::now()).unwrap_err();
        assert!(why.contains("takes us for alice@pool now") && why.contains("are of bob@pool"), "{why}");
        take(&mut board, "bob@pool".into(), Instant::now()).unwrap();
        assert_eq!(board.owner.unwrap().name, "bob");
    }
}
