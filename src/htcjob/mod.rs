//! The door for `kubectl apply` of an HTCJob: the object becomes a wish, what is known of the wish
//! becomes its status, and its finalizer stays until nothing of it is left in the pool.

mod reconcile;
pub mod status;
pub mod translate;
pub mod types;

pub use reconcile::{DOOR, DoorState, run};
