//! Holds the programs of a stage back until all of its containers have their mounts.
//!
//! The path behind a mount is looked up by the container engine, some time after the sender has
//! checked it. In between, a container that shares the volume could put a symbolic link to anywhere
//! in its place; so where a part of a volume is mounted, nobody of the stage runs before.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Opens when all who have a pass have come to it, or never will.
#[derive(Default)]
pub struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    awaited: Mutex<usize>,
    bell: Condvar,
}

/// The right, and the duty, to come to the gate.
pub struct Pass(Arc<Shared>);

impl Gate {
    /// One more is awaited.
    pub fn pass(&self) -> Pass {
        *self.0.awaited() += 1;
        Pass(self.0.clone())
    }
}

impl Pass {
    /// Comes to the gate and waits for the others.
    pub fn wait(self) {
        let shared = self.0.clone();
        drop(self);
        let mut awaited = shared.awaited();
        while *awaited > 0 {
            awaited = shared.bell.wait(awaited).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whoever has lost the pass is awaited no more.
impl Drop for Pass {
    fn drop(&mut self) {
        *self.0.awaited() -= 1;
        self.0.bell.notify_all();
    }
}

impl Shared {
    fn awaited(&self) -> MutexGuard<'_, usize> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn nobody_goes_on_before_all_have_come_or_are_given_up() {
        let gate = Gate::default();
        let (first, second, never) = (gate.pass(), gate.pass(), gate.pass());
        let (sender, through) = channel();
        let of_first = sender.clone();
        std::thread::spawn(move || {
            first.wait();
            of_first.send(1).unwrap();
        });
        std::thread::spawn(move || {
            second.wait();
            sender.send(2).unwrap();
        });
        assert!(through.try_recv().is_err());
        drop(never);
        let mut both = [through.recv().unwrap(), through.recv().unwrap()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    }
}
