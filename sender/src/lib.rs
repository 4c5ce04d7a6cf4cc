//! The in-job runtime: a small kubelet for one HTCondor job.
//!
//! ```text
//! run ─ outputs   what HTCondor shall bring home exists from the first moment
//!     ─ job       reads and unlinks job.json
//!     ─ volumes   lays out what containers mount
//!     ─ runtime   the event loop: starts containers (alive, launch, apptainer), hears of
//!     │           them (handshake, signals, process), writes their output (log)
//!     ─ board     what became of each container; tells reporter, which posts (http, tls, resolve, dns)
//! init            the first process of every container, on the other end of the handshake
//! ```
//!
//! One thread starts, signals and reaps all processes, so none of this needs a lock. The other
//! threads only wait for one thing each and turn it into an event, a line of a log, or a request.

pub mod alive;
pub mod apptainer;
pub mod board;
pub mod dns;
pub mod event;
pub mod handshake;
pub mod http;
pub mod init;
pub mod job;
pub mod job_ad;
pub mod launch;
pub mod log;
pub mod outputs;
pub mod process;
pub mod reporter;
pub mod resolve;
pub mod runtime;
pub mod signals;
pub mod tls;
pub mod volumes;
pub mod words;

pub use init::init;
pub use runtime::run;
