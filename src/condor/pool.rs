//! One schedd that we submit to, and how its tools are started.

use std::path::PathBuf;

/// A pool as its tools see it. Everything unset is left to HTCondor's own configuration.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// The schedd's name, for `-name`.
    pub schedd: Option<String>,
    /// The collector, `host[:port]`, for `-pool`.
    pub collector: Option<String>,
    /// The value of `CONDOR_CONFIG` for the tools.
    pub config: Option<PathBuf>,
    /// Variables that the tools keep of our own environment, such as `PATH` and `KRB5CCNAME`.
    pub environment: Vec<(String, String)>,
}

impl Pool {
    /// `-name` and `-pool`, as every tool takes them.
    pub fn arguments(&self) -> Vec<String> {
        let option = |flag: &str, value: &Option<String>| {
            value.iter().flat_map(|v| [flag.to_owned(), v.clone()]).collect::<Vec<_>>()
        };
        [option("-name", &self.schedd), option("-pool", &self.collector)].concat()
    }
}
