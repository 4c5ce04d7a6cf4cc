//! The in-job runtime: a small kubelet for one HTCondor job.
//!
//! ```text
//! run ─ keeper    the first process: starts the job and passes signals on; each of the two ends
//!     │           everything when the other one is killed
//! job ─ outputs   what HTCondor shall bring home exists from the first moment
//!     ─ job       reads and unlinks job.json
//!     ─ volumes   lays out what containers mount, and watches how much they hold
//!     ─ blame     whose fault it is where nothing can be started
//!     ─ image     makes the containers' images local: finds them, or pulls them
//!     ─ runtime   the event loop: starts containers (alive, launch, gate, apptainer), hears of
//!     │           them (handshake, signals, process), writes their output (log, last_words)
//!     ─ tidy      makes what the containers left in `work` fit to travel
//!     ─ board     what became of each container; tells reporter, which posts (http, tls, resolve, dns)
//!                 or lets HTCondor carry it (chirp)
//!     ─ poll      asks the operator what it wants, and sends pieces of logs
//! init            the first process of every container, on the other end of the handshake
//! probe           a test job: does this worker reach the receiver of reports?
//! ```
//!
//! One thread starts, signals and reaps all processes, so none of this needs a lock. The other
//! threads only wait for one thing each and turn it into an event, a line of a log, or a request.

pub mod alive;
pub mod apptainer;
pub mod blame;
pub mod board;
pub mod chirp;
pub mod dns;
pub mod event;
pub mod gate;
pub mod handshake;
pub mod http;
pub mod image;
pub mod init;
pub mod job;
pub mod job_ad;
pub mod keeper;
pub mod last_words;
pub mod launch;
pub mod log;
pub mod outputs;
pub mod place;
pub mod poll;
pub mod probe;
pub mod process;
pub mod reporter;
pub mod resolve;
pub mod runtime;
pub mod signals;
pub mod tidy;
pub mod tls;
pub mod volumes;
pub mod words;

pub use init::init;
pub use keeper::{job, run};
pub use probe::probe;
