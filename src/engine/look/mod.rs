//! The look at the pool, a pipeline: the tracker asks, merge gives each job and its ad to the judge, what
//! has changed is made durable and then believed, and what must be done in the pool is done. Only the two
//! ends start tools.

pub mod absence;
mod actions;
mod change;
pub(super) mod chores;
pub mod history;
mod intents;
pub mod judge;
mod merge;
mod oddities;
mod shown;
pub mod tracker;
