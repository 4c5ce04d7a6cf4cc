//! One at a time for each pod: calls about one pod that come together are done one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use htc_core::workload::names::Uid;
use tokio::sync::OwnedMutexGuard;

/// The pods that somebody is at.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<Uid, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits until nobody else is at this pod; it is ours until what is returned is dropped.
    pub async fn take(&self, uid: &Uid) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns();
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(uid).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(uid.clone(), Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Uid, Weak<tokio::sync::Mutex<()>>>> {
        self.0.lock().expect("no thread panics while it holds the turns")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_comes_second_waits_for_the_first_and_others_do_not() {
        let turns = Turns::default();
        let (a, b): (Uid, Uid) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = turns.take(&a).await;
        assert!(turns.take(&a).now_or_never().is_none());
        assert!(turns.take(&b).now_or_never().is_some());
        drop(first);
        assert!(turns.take(&a).now_or_never().is_some());
        drop(turns.take(&b).await);
        assert_eq!(turns.turns().len(), 1, "what nobody is at is forgotten");
    }
}
