//! What must outlive us, in SQLite. The only SQL of the project.

pub mod database;
pub mod facts;
pub mod inbox;
pub mod intents;
pub mod jobs;
pub mod predecessor;
pub mod refused;
pub mod wishes;
