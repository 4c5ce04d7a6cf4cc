//! Who is here: a seat for each connection, what its caller is at, and who has to leave when it is full.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::ROOM_LOOK;

/// So many seats.
pub struct Room {
    places: Arc<Semaphore>,
    seats: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    next: u64,
    opened: Instant,
}

/// A connection, as the listener and the routes behind it see it.
pub struct Seat {
    opened: Instant,
    /// Microseconds from `opened` to the last sign of life.
    alive: AtomicU64,
    /// Questions that are not answered to the end.
    asked: AtomicU32,
    /// Whether an answer has ended since somebody looked.
    ended: AtomicBool,
    /// Told to leave, because others wait.
    pub(super) leave: CancellationToken,
}

/// A seat that is taken; dropping it makes it free.
pub(super) struct Taken {
    pub seat: Arc<Seat>,
    id: u64,
    seats: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    _place: OwnedSemaphorePermit,
}

/// A question that is being answered; while one lives its caller is not told to leave, and may be silent.
pub struct Question(Arc<Seat>);

/// An answer that is given piece by piece; its end begins the time of silence anew.
pub struct Streaming(Question);

impl Room {
    /// A room with so many seats.
    pub fn new(seats: usize) -> Room {
        Room {
            places: Arc::new(Semaphore::new(seats)),
            seats: Arc::default(),
            next: 0,
            opened: Instant::now(),
        }
    }

    /// A seat; when all are taken, the one who has been silent longest, and asks nothing, must leave.
    pub(super) async fn take(&mut self) -> Taken {
        let place = loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                break place;
            }
            self.show_out();
            // When all of them are being answered, one of them may be done a little later.
            if let Ok(place) = timeout(ROOM_LOOK, self.places.clone().acquire_owned()).await {
                break place.expect("nobody closes it");
            }
        };
        let seat = Arc::new(Seat {
            opened: self.opened,
            alive: AtomicU64::default(),
            asked: AtomicU32::default(),
            ended: AtomicBool::default(),
            leave: CancellationToken::new(),
        });
        seat.is_alive();
        self.next += 1;
        lock(&self.seats).insert(self.next, seat.clone());
        Taken { seat, id: self.next, seats: self.seats.clone(), _place: place }
    }

    fn show_out(&self) {
        let seats = lock(&self.seats);
        let idle = seats
            .values()
            .filter(|seat| seat.asked.load(Ordering::Relaxed) == 0 && !seat.leave.is_cancelled());
        if let Some(seat) = idle.min_by_key(|seat| seat.alive.load(Ordering::Relaxed)) {
            seat.leave.cancel();
        }
    }
}

fn lock(seats: &Mutex<HashMap<u64, Arc<Seat>>>) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
    seats.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    /// Something was said.
    pub(super) fn is_alive(&self) {
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.alive.store(now, Ordering::Relaxed);
    }

    /// Whether a question is not answered to the end.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > 0
    }

    /// Whether an answer has ended since this was asked last.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.swap(false, Ordering::Relaxed)
    }

    /// A question has come.
    pub fn asks(self: &Arc<Seat>) -> Question {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Question(self.clone())
    }
}

impl Question {
    /// Its answer will be given piece by piece.
    pub fn streams(self) -> Streaming {
        Streaming(self)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.is_alive();
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.seats).remove(&self.id);
    }
}
