//! What time it is for what is kept on disk: seconds since 1970 that never jump. The wall clock may be set while we
//! run or between two lives of ours, so it is asked once a boot, and from then on the time since boot is added.
//!
//! What is removed by its age is removed only while the wall clock agrees: one that jumps, or has just booted, is
//! doubted until it has kept its course for a while.

use std::sync::{LazyLock, Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::Transaction;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::database::{Database, StoreError};
use super::facts;
use crate::limits::{BOOT_DOUBTED, CLOCK_TOLERANCE, JUMP_DOUBTED};

/// Where we count from.
const CLOCK_FACT: &str = "clock";

/// A moment of a boot of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot.
    boot: String,
    /// Seconds since then, also those that the machine was suspended.
    up: i64,
    /// What the wall clock said, epoch seconds.
    epoch: i64,
}

/// The wall clock does not say what we have counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubt {
    /// It is believed when it has kept its course until then, in seconds since boot.
    until: i64,
    /// How many seconds it is ahead of what we have counted.
    ahead: i64,
}

/// Time that is counted from one moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clock {
    anchor: Moment,
    doubt: Option<Doubt>,
}

/// What a look at the wall clock has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// It says what we have counted. This long ago, epoch seconds, something must have ended to be as old as it seems.
    Agrees(i64),
    /// It is so many seconds ahead, or behind where negative, since this look.
    Jumped(i64),
    /// It is doubted since an earlier look.
    Doubted,
    /// It was doubted and has kept its course: it counts from now on.
    Believed,
}

impl Clock {
    /// Goes on counting where an earlier life of this boot has begun. After another boot only the wall clock
    /// tells how long we were away; some machines start with a wrong one.
    fn resume(kept: Option<Moment>, here: &Moment) -> Clock {
        match kept {
            Some(anchor) if anchor.boot == here.boot && anchor.up <= here.up => Clock { anchor, doubt: None },
            kept => {
                let until = here.up + BOOT_DOUBTED.as_secs().cast_signed();
                let doubt = kept.map(|_| Doubt { until, ahead: 0 });
                Clock { anchor: here.clone(), doubt }
            }
        }
    }

    /// Epoch seconds, so many seconds after boot.
    fn at(&self, up: i64) -> i64 {
        self.anchor.epoch + up - self.anchor.up
    }

    fn look(&mut self, here: &Moment) -> Wall {
        let tolerance = CLOCK_TOLERANCE.as_secs().cast_signed();
        let counted = self.at(here.up);
        let ahead = here.epoch - counted;
        let expected = self.doubt.map_or(0, |doubt| doubt.ahead);
        if (ahead - expected).abs() > tolerance {
            let until = here.up + JUMP_DOUBTED.as_secs().cast_signed();
            self.doubt = Some(Doubt { until, ahead });
            return Wall::Jumped(ahead);
        }
        match self.doubt {
            None => Wall::Agrees(here.epoch.min(counted)),
            Some(doubt) if here.up < doubt.until => Wall::Doubted,
            Some(_) => {
                *self = Clock { anchor: here.clone(), doubt: None };
                Wall::Believed
            }
        }
    }
}

impl Moment {
    /// This one.
    fn here() -> Moment {
        static BOOT: LazyLock<String> = LazyLock::new(|| {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
            id.unwrap_or_default().trim().to_owned()
        });
        Moment { boot: BOOT.clone(), up: up(), epoch: Timestamp::now().as_second() }
    }
}

fn up() -> i64 {
    clock_gettime(ClockId::Boottime).tv_sec
}

/// A process has one clock, as it has one wall clock.
static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

fn with<T>(act: impl FnOnce(&mut Option<Clock>) -> T) -> T {
    act(&mut CLOCK.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Seconds since 1970, as all our columns have it.
pub fn now() -> i64 {
    with(|clock| clock.get_or_insert_with(|| Clock::resume(None, &Moment::here())).at(up()))
}

/// Looks whether the wall clock says what we have counted.
pub fn look() -> Wall {
    let here = Moment::here();
    with(|clock| clock.get_or_insert_with(|| Clock::resume(None, &here)).look(&here))
}

/// Whether what is removed by its age may be removed now.
pub fn is_trusted() -> bool {
    let here = Moment::here();
    // A look that leaves no trace: whoever looks at the clock says what it has found.
    with(|clock| clock.clone().is_none_or(|mut clock| matches!(clock.look(&here), Wall::Agrees(_))))
}

/// Goes on as the last life has counted, where that was in this boot.
pub fn resume(t: &Transaction<'_>) -> Result<(), StoreError> {
    let kept: Option<Moment> = facts::get(t, CLOCK_FACT)?.and_then(|text| serde_json::from_str(&text).ok());
    with(|clock| {
        if clock.is_none() || kept.is_some() {
            *clock = Some(Clock::resume(kept.clone(), &Moment::here()));
        }
    });
    keep(t, kept.as_ref())
}

/// Keeps where we count from, unless it is kept.
fn keep(t: &Transaction<'_>, kept: Option<&Moment>) -> Result<(), StoreError> {
    let anchor = with(|clock| clock.as_ref().map(|clock| clock.anchor.clone()));
    if let Some(anchor) = anchor.filter(|anchor| Some(anchor) != kept) {
        let text = serde_json::to_string(&anchor).map_err(|e| StoreError::Unreadable(e.to_string()))?;
        facts::put(t, CLOCK_FACT, &text)?;
    }
    Ok(())
}

impl Database {
    /// Keeps that the wall clock is believed again.
    pub async fn keep_clock(&self) -> Result<(), StoreError> {
        self.call(|t| keep(t, None)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn moment(boot: &str, up: i64, epoch: i64) -> Moment {
        Moment { boot: boot.to_owned(), up, epoch }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_neither_what_is_counted_nor_what_the_next_life_counts() {
        let begun = moment("a", 100, 1_000_000);
        let mut clock = Clock::resume(None, &begun);
        assert_eq!(clock.look(&moment("a", 160, 1_000_060)), Wall::Agrees(1_000_060));
        for jump in [30 * DAY, -30 * DAY] {
            let set = moment("a", 200, 1_000_100 + jump);
            let mut life = clock.clone();
            assert_eq!(life.look(&set), Wall::Jumped(jump));
            assert_eq!(life.at(set.up), 1_000_100);
            let mut next = Clock::resume(Some(begun.clone()), &set);
            assert_eq!((next.at(set.up), next.look(&set)), (1_000_100, Wall::Jumped(jump)));
        }
    }

    #[test]
    fn a_wall_clock_that_was_set_is_believed_once_it_has_kept_its_course_for_a_day() {
        let mut clock = Clock::resume(None, &moment("a", 0, 0));
        let set = |up: i64, ahead: i64| moment("a", up, up + ahead);
        assert_eq!(clock.look(&set(60, 30 * DAY)), Wall::Jumped(30 * DAY));
        assert_eq!(clock.look(&set(120, 30 * DAY)), Wall::Doubted);
        // Set again: the day begins again.
        assert_eq!(clock.look(&set(DAY, 0)), Wall::Jumped(0));
        assert_eq!(clock.look(&set(DAY + 61, 0)), Wall::Doubted);
        assert_eq!(clock.look(&set(2 * DAY, 0)), Wall::Believed);
        assert_eq!(clock.look(&set(2 * DAY + 60, 0)), Wall::Agrees(2 * DAY + 60));
    }

    #[test]
    fn after_a_boot_the_wall_clock_has_time_to_be_set_right() {
        let kept = moment("a", 9_000, 1_000_000);
        let mut clock = Clock::resume(Some(kept), &moment("b", 10, 1_000_000 + 30 * DAY));
        let hour = BOOT_DOUBTED.as_secs().cast_signed();
        assert_eq!(clock.look(&moment("b", 70, 1_000_060 + 30 * DAY)), Wall::Doubted);
        assert_eq!(clock.look(&moment("b", 130, 1_000_120)), Wall::Jumped(-30 * DAY));
        let mut right = Clock::resume(Some(moment("a", 9_000, 1_000_000)), &moment("b", 10, 1_000_100));
        assert_eq!(right.look(&moment("b", 10 + hour, 1_000_100 + hour)), Wall::Believed);
    }

    #[test]
    fn a_clock_that_is_adjusted_a_little_agrees_and_the_earlier_of_both_counts() {
        let mut clock = Clock::resume(None, &moment("a", 0, 1_000));
        assert_eq!(clock.look(&moment("a", 60, 1_070)), Wall::Agrees(1_060));
        assert_eq!(clock.look(&moment("a", 120, 1_110)), Wall::Agrees(1_110));
    }

    #[tokio::test]
    async fn where_we_count_from_is_kept_with_the_rows() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db")).unwrap();
        let fact =
            |t: &Transaction<'_>| -> Result<String, StoreError> { Ok(facts::get(t, CLOCK_FACT)?.unwrap()) };
        let first = database.call(move |t| resume(t).and_then(|()| fact(t))).await.unwrap();
        let again = database.call(move |t| resume(t).and_then(|()| fact(t))).await.unwrap();
        assert_eq!(first, again);
    }
}
