//! Does beside the looks what they ask for: a `condor_rm` that hangs holds up no look. One after the other, in the
//! order of [`Inner::act`]; what waits is a set, so that looks that ask again and again make it no longer.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Notify;

use super::actions::Actions;
use crate::condor::whose::Whose;
use crate::engine::Inner;

/// What is to be done.
#[derive(Default)]
pub struct Chores {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// What waits.
    waiting: Actions,
    /// Whose jobs it is about, by the last look.
    whose: Option<Whose>,
    /// What is being done, or was done last.
    taken: Actions,
    /// When that was done.
    done: Option<Instant>,
}

impl State {
    /// Takes in what a look has found that began then. It may have begun before what was taken was done, and asks
    /// for the same; what has failed a later look asks for.
    fn add(&mut self, found: Actions, began: Instant) {
        let known = self.done.is_none_or(|done| began <= done);
        let nothing = Actions::default();
        self.waiting.join(found, if known { &self.taken } else { &nothing });
    }

    fn take(&mut self) -> Actions {
        self.taken = std::mem::take(&mut self.waiting);
        self.done = None;
        self.taken.clone()
    }
}

impl Chores {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the chores")
    }

    /// Takes in what a look has found that began then, and whose jobs it is about.
    pub fn add(&self, found: Actions, whose: &Whose, began: Instant) {
        let mut state = self.state();
        state.add(found, began);
        state.whose = Some(whose.clone());
        drop(state);
        self.bell.notify_one();
    }
}

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    loop {
        inner.chores.bell.notified().await;
        let (whose, chores) = {
            let mut state = inner.chores.state();
            (state.whose.clone(), state.take())
        };
        if let Some(whose) = whose {
            inner.act(&whose, chores).await;
        }
        inner.chores.state().done = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use htc_core::workload::names::Uid;

    use super::*;

    fn removal(uids: &[&str]) -> Actions {
        let mut actions = Actions::default();
        uids.iter()
            .for_each(|uid| actions.remove_workload(&uid.parse().unwrap(), [].into_iter(), [].into_iter()));
        actions
    }

    fn waiting(state: &State) -> Vec<String> {
        state.waiting.workloads().iter().map(Uid::to_string).collect()
    }

    #[test]
    fn what_many_looks_ask_for_waits_once() {
        let (mut state, now) = (State::default(), Instant::now());
        for _ in 0..100 {
            state.add(removal(&["b", "a"]), now);
        }
        assert_eq!(waiting(&state), ["a", "b"]);
    }

    #[test]
    fn what_is_being_done_is_not_asked_for_again_until_a_look_begins_after_it() {
        let mut state = State::default();
        let began = Instant::now();
        state.add(removal(&["a"]), began);
        state.take();
        state.add(removal(&["a", "b"]), began);
        assert_eq!(waiting(&state), ["b"], "it is being done");
        state.done = Some(began + Duration::from_secs(60));
        state.add(removal(&["a"]), began + Duration::from_secs(59));
        assert_eq!(waiting(&state), ["b"], "the look began before it was done");
        state.add(removal(&["a"]), began + Duration::from_secs(61));
        assert_eq!(waiting(&state), ["a", "b"], "it has failed");
    }
}
