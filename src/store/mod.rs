//! What must outlive us, in SQLite. The only SQL of the project.

pub mod ballast;
pub mod clock;
pub mod database;
pub mod facts;
mod format;
pub mod inbox;
pub mod inspect;
pub mod intents;
pub mod jobs;
pub mod predecessor;
pub mod refused;
pub mod unreadable;
pub mod wishes;
pub mod worker_faults;
