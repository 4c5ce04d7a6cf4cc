//! The way from jobs to us.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

/// Where reports are received where nobody says otherwise: workers are elsewhere.
pub const EVENTS_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

/// Reports of jobs.
#[derive(Args, Clone, Debug)]
pub struct EventsSettings {
    /// Where reports of jobs are received; by default 0.0.0.0:8080, and with `interlink` only where
    /// there is an events URL.
    #[arg(long, env = "HTC_EVENTS_LISTEN")]
    pub events_listen: Option<SocketAddr>,

    /// The URL under which workers reach that; without it HTCondor carries the reports of jobs, minutes
    /// later, and their ends are seen a little later.
    #[arg(long, env = "HTC_EVENTS_URL")]
    pub events_url: Option<String>,

    /// The CloudEvents source of reports.
    #[arg(long, env = "HTC_EVENTS_SOURCE", default_value = htc_core::events::DEFAULT_SOURCE)]
    pub events_source: String,

    /// The PEM file of the authority that signed that URL's certificate, if it is not a public one.
    #[arg(long, env = "HTC_EVENTS_CA")]
    pub events_ca: Option<PathBuf>,

    /// Running jobs that may hold a connection on which they wait to be asked for their logs; at most as
    /// many as there are file descriptors for. Jobs beyond that come again every few minutes, and until
    /// then their logs are read by condor_tail.
    #[arg(long, env = "HTC_MAX_POLLS", default_value_t = 4_096,
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub max_polls: u32,

    /// Take unsigned events too, as the jobs of this operator's predecessor send them. Nothing in them
    /// is believed: one only makes the operator look at the pool earlier.
    #[arg(long, env = "HTC_ALLOW_UNSIGNED_EVENTS")]
    pub allow_unsigned_events: bool,
}
