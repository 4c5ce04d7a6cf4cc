//! `htc-operator doctor`: checks in one go what goes wrong at first, and says what to do about it.
//! Whether an operator runs or not makes no difference. `interlink --doctor` is the same without Kubernetes.

mod attributes;
mod callers;
mod cluster;
mod data;
mod finding;
mod lease;
mod listeners;
mod objects;
mod outputs;
mod pool;
mod probe;
mod queue;
mod secrets;
mod sender;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, ValueEnum};

use super::door::Listener;
use super::{identity, operator, serve};
use crate::condor::pool::Pool;
use crate::config::{CallerSettings, PoolSettings, Settings};
use finding::Finding;
use listeners::Around;

/// What is checked: the settings of `serve`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Submit no test job, which shows whether workers reach the events URL.
    #[arg(long)]
    no_test_job: bool,

    /// How the findings are printed.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line each, as they come.
    Text,
    /// One JSON array.
    Json,
}

/// Checks everything; an error when something has failed.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { no_test_job, output, settings } = arguments;
    let (pool, uid) = (operator::pool(&settings.operator.pool), rustix::process::geteuid().as_raw());
    let mut report = Report { output, findings: Vec::new() };
    report.add(data::check(&settings.data.data_dir, uid))?;
    report.add(vec![secrets::master_key(&settings.master_key_file, &settings.data.data_dir, uid)])?;
    report.add(vec![sender::check(settings.operator.sender.as_ref(), &pool).await])?;
    report.add(
        cluster::check(&settings.kubernetes, settings.operator.instance.as_deref(), &serve::site(&settings))
            .await,
    )?;
    report.add(pool::check(&pool, uid).await)?;
    report.add(pool::workers(&pool, &settings.operator.pool).await)?;
    report.add(queue::check(&settings.data.data_dir).await)?;
    report.add(outputs::check(&settings.data.data_dir).await)?;
    report.add(attributes::check(&pool).await.into_iter().collect())?;
    let callers = &settings.operator.callers;
    report.add(callers::check(callers, uid))?;
    let around = Around { running: data::is_in_use(&settings.data.data_dir), made: &[] };
    report.add(listeners::check(&Listener::of_settings(callers)?, callers, around).await)?;
    if !no_test_job {
        let needed = [data::CHECK, sender::CHECK, pool::SUBMISSION];
        report.add(match needed.iter().find(|check| !report.is_well(check)) {
            // It would only repeat what was found.
            Some(check) => {
                let remedy = format!("mend this first: {check}");
                vec![Finding::warning(probe::CHECK, "was not submitted", remedy)]
            }
            None => probe::check(&settings, &pool).await,
        })?;
    }
    report.finish()
}

/// What an endpoint without Kubernetes is made of.
pub struct Endpoint {
    /// The data folder, which the first start makes.
    pub data: PathBuf,
    /// Where copies of logs go, if an old file or flag says so.
    pub data_root: Option<PathBuf>,
    /// The file of the master keys, unless it is the one that the first start makes.
    pub master_key_file: Option<PathBuf>,
    /// The in-job program, unless it is the one beside us.
    pub sender: Option<PathBuf>,
    /// The pool.
    pub pool: Pool,
    /// What is set of it.
    pub pool_settings: PoolSettings,
    /// Who may call.
    pub callers: CallerSettings,
    /// Where.
    pub listeners: Vec<Listener>,
    /// Where health is served.
    pub health: SocketAddr,
    /// Whether the start ends when health cannot be served there.
    pub health_chosen: bool,
}

/// Checks an endpoint without Kubernetes; an error when something has failed.
pub async fn endpoint(endpoint: Endpoint) -> anyhow::Result<()> {
    let Endpoint {
        data,
        data_root,
        master_key_file,
        sender,
        pool,
        pool_settings,
        mut callers,
        listeners,
        health,
        health_chosen,
    } = endpoint;
    let uid = rustix::process::geteuid().as_raw();
    let mut report = Report { output: Output::Text, findings: Vec::new() };
    report.add(data::check_own(&data, uid))?;
    report.add(data_root.iter().map(|root| data::check_root(root)).collect())?;
    let made = master_key_file.is_none().then(|| identity::own_key(&data)).transpose()?;
    report.add(match (master_key_file, made) {
        (None, Some(made)) if !made.exists() => Vec::new(),
        (given, made) => {
            given.or(made).map(|file| secrets::master_key(&file, &data, uid)).into_iter().collect()
        }
    })?;
    report.add(vec![sender::check(sender.as_ref(), &pool).await])?;
    report.add(pool::check(&pool, uid).await)?;
    report.add(pool::workers(&pool, &pool_settings).await)?;
    report.add(queue::check(&data).await)?;
    report.add(outputs::check(&data).await)?;
    report.add(callers::check(&callers, uid))?;
    report.add(callers::without_kubernetes(&mut callers))?;
    let (running, made) = (data::is_in_use(&data), [Some(data.as_path()), data_root.as_deref()]);
    let made: Vec<_> = made.into_iter().flatten().collect();
    report.add(listeners::check(&listeners, &callers, Around { running, made: &made }).await)?;
    report.add(vec![listeners::check_health(health, health_chosen, running).await])?;
    report.finish()
}

struct Report {
    output: Output,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, findings: Vec<Finding>) -> anyhow::Result<()> {
        if self.output == Output::Text {
            let mut out = std::io::stdout().lock();
            findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
        }
        self.findings.extend(findings);
        Ok(())
    }

    /// Whether something was found of it, and nothing bad.
    fn is_well(&self, check: &str) -> bool {
        let mut of_it = self.findings.iter().filter(|finding| finding.check == check).peekable();
        of_it.peek().is_some() && !of_it.any(Finding::has_failed)
    }

    fn finish(self) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let all: Vec<_> = self.findings.iter().map(Finding::json).collect();
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&all)?)?;
        }
        let failed = self.findings.iter().filter(|finding| finding.has_failed()).count();
        ensure!(failed == 0, "{failed} of {} checks failed", self.findings.len());
        Ok(())
    }
}
