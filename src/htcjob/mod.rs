//! The door for `kubectl apply` of an HTCJob: the object becomes a wish, what is known of the wish
//! becomes its status, and its finalizer stays until nothing of it is left in the pool.

mod error;
mod holds;
mod inherited;
mod leaving;
mod object;
mod outputs;
mod reconcile;
mod state;
pub mod status;
mod steps;
mod tracked;
pub mod translate;
pub mod types;
mod vanished;
mod watch;
mod workers;
mod write;

pub use object::FINALIZER;
pub use reconcile::run;
pub use state::DoorState;
pub use status::INVALID_SPEC;
pub use translate::Site;

/// The name of this door in the store.
pub const DOOR: &str = "htcjob";
