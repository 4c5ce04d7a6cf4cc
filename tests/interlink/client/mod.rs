//! A client of the endpoint that is as strict as the released ones. `WIRE n.n` names the section of
//! what was found out about those, by reading and by running them.

pub mod dialect;
pub mod kubelet;
pub mod merge;
pub mod pods;
pub mod recordings;
pub mod transport;
pub mod wire;
