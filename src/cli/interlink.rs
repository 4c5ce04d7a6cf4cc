//! `htc-operator interlink`: InterLink's endpoint without Kubernetes, on the schedd's host, in the place of
//! its plugin and API server. Their flags, variables and files work as they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustix::fs::{Access, access};

use super::doctor;
use super::door::{self, Listener};
use super::identity;
use super::operator::{self, Operator, take_folder};
use crate::condor::pool::Pool;
use crate::config::standalone::OldFlags;
use crate::config::{EVENTS_LISTEN, OperatorSettings, StandaloneSettings, state_folder, variables};
use crate::engine::keys::MasterKeys;
use crate::http::place::Place;
use crate::interlink::legacy::{
    self, FILE_VARIABLE, Flags, Given, Row, Settled, Verdict, WORKING_FOLDER_FILES,
};
use crate::interlink::run_files;

/// Where health is served where nobody says otherwise.
const HEALTH_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// The settings of the endpoint.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: StandaloneSettings,
}

/// What is made of the settings.
pub struct Plan {
    settings: StandaloneSettings,
    settled: Settled,
    data: PathBuf,
    listeners: Vec<Listener>,
}

impl Plan {
    /// Reads the configuration files, and settles what counts.
    pub fn of(arguments: Arguments) -> anyhow::Result<Plan> {
        let mut settings = arguments.settings;
        let files = files(&settings.config)?;
        let callers = &settings.operator.callers;
        let given = Given {
            flags: flags(&settings),
            variables: variables(&legacy::variables()),
            files,
            listens: !callers.interlink_listen.is_empty(),
            asks: door::asks(callers),
            insecure_public: callers.insecure_public,
        };
        let settled = legacy::settle(&given);
        // A port that was given beside a certificate of ours has it too; the old plugin's spoke no TLS.
        let with_tls = settings.old.port.filter(|_| callers.interlink_tls_cert.is_some());
        settings.operator.callers = door::with_block(callers, settled.tls.as_ref());
        settings.operator.callers.interlink_host_names.extend(settled.names.iter().cloned());
        let data = match (&settings.data_dir, &settled.data_root) {
            (Some(data), _) => data.clone(),
            (None, Some(root)) => root.join("htc-operator"),
            (None, None) => state_folder().context("there is no HOME; set --data-dir")?.join("htc-operator"),
        };
        let mut listeners = Listener::of_settings(&settings.operator.callers)?;
        listeners.extend(settled.listeners.iter().map(|Listener { place, tls }| {
            let has = matches!(place, Place::Tcp(address) if Some(address.port()) == with_tls);
            Listener { place: place.clone(), tls: *tls || has }
        }));
        if listeners.is_empty() {
            listeners.push(Listener { place: Place::Unix(data.join("interlink.sock")), tls: false });
        }
        Ok(Plan { settings, settled, data, listeners })
    }

    /// What the old files say is logged.
    pub fn log(&self) -> Option<&str> {
        self.settled.log
    }

    fn explain(&self) {
        print!("{}", legacy::table(&self.settled.rows));
        println!();
        for Listener { place, tls } in &self.listeners {
            println!("listens on {place}{}", if *tls { ", with TLS" } else { "" });
        }
        println!("data folder {}", self.data.display());
    }

    async fn check(self) -> anyhow::Result<()> {
        let Plan { settings, settled, data, listeners } = self;
        let pool = pool(&settings, &settled);
        let StandaloneSettings { operator, master_key_file, .. } = settings;
        let OperatorSettings { sender, callers, health_listen, pool: pool_settings, .. } = operator;
        doctor::endpoint(doctor::Endpoint {
            data,
            data_root: settled.data_root,
            master_key_file,
            sender,
            pool,
            pool_settings,
            callers,
            listeners,
            health: health_listen.unwrap_or(HEALTH_LISTEN),
            health_chosen: health_listen.is_some(),
        })
        .await
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(plan: Plan) -> anyhow::Result<()> {
    if plan.settings.explain_config {
        plan.explain();
        return Ok(());
    }
    if plan.settings.doctor {
        return plan.check().await;
    }
    tell(&plan.settled.rows);
    ensure!(
        plan.settings.operator.callers.interlink_token_review_users.is_empty(),
        "without Kubernetes no API server reviews tokens (--interlink-token-review-users)"
    );
    let Plan { settings, settled, data, listeners } = plan;
    if let Some(root) = &settled.data_root {
        // For everybody whom the umask allows, as it was.
        std::fs::create_dir_all(root)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(access(root, Access::WRITE_OK | Access::EXEC_OK)?))
            .with_context(|| {
                let shown = root.display();
                format!(
                    "DataRootFolder {shown} is not for us to make or to write (under systemd the unit must let us: \
                     ReadWritePaths={shown})"
                )
            })?;
    }
    let common = &settings.operator;
    let lock = take_folder(&data)?;
    let instance = identity::instance(common.instance.as_ref(), &data)?;
    let keys = MasterKeys::read(&identity::master_key(settings.master_key_file.as_ref(), &data)?)?;
    let operator =
        Operator::open(lock, &data, common, instance, keys, pool(&settings, &settled), true).await?;
    if common.events.events_url.is_some() || common.events.events_listen.is_some() {
        let address = common.events.events_listen.unwrap_or(EVENTS_LISTEN);
        operator.receive_reports(&common.events, address).await?;
    }
    serve_health(&operator, common).await?;
    let mut site = door::settings(common)?;
    site.dummy_job = settled.dummy_job;
    if common.callers.interlink_ping_checks_credential
        && let Some(file) = &settled.tools.credential
    {
        site.ping_check = Some(door::ping_check(file.clone())?);
    }
    door::open(&operator, &common.callers, listeners, site, Vec::new()).await?;
    if let Some(root) = settled.data_root {
        let (engine, stop) = (operator.engine.clone(), operator.stop_doors.clone());
        operator.doors.spawn(run_files::write(engine, root, stop));
    }
    operator.run().await
}

/// A line for everything that does not do what it did.
fn tell(rows: &[Row]) {
    for Row { key, source, value: _, verdict, why } in rows {
        match verdict {
            Verdict::Honoured => {}
            Verdict::Ignored => tracing::info!("{key} ({source}) is ignored: {why}"),
            Verdict::Refused => tracing::warn!("{key} ({source}) is refused: {why}"),
        }
    }
}

/// On the usual port, if nobody else has it: two of us may run on a machine.
async fn serve_health(operator: &Operator, settings: &OperatorSettings) -> anyhow::Result<()> {
    let ready = || -> operator::Ready { Box::new(|| None) };
    match settings.health_listen {
        Some(address) => operator.serve_health(address, ready()).await?,
        None => {
            if let Err(why) = operator.serve_health(HEALTH_LISTEN, ready()).await {
                tracing::warn!(%why, "there is no health and no metrics; set --health-listen");
            }
        }
    }
    Ok(())
}

/// The pool, with what the old flags tell its tools.
fn pool(settings: &StandaloneSettings, settled: &Settled) -> Pool {
    let mut pool = operator::pool(&settings.operator.pool);
    let not_empty = |text: &String| !text.trim().is_empty();
    pool.schedd = pool.schedd.filter(not_empty).or_else(|| settled.tools.schedd.clone());
    pool.collector = pool.collector.filter(not_empty);
    for (name, value) in &settled.tools.variables {
        pool.environment.retain(|(known, _)| known != name);
        pool.environment.push((name.clone(), value.clone()));
    }
    pool
}

fn flags(settings: &StandaloneSettings) -> Flags {
    let OldFlags {
        port,
        schedd_host,
        auth_method,
        proxy,
        cadir,
        certfile,
        keyfile,
        debug,
        dummy_job,
        data_root_folder,
        rest,
    } = settings.old.clone();
    let pool = &settings.operator.pool;
    Flags {
        port,
        schedd_name: pool.schedd_name.clone(),
        schedd_host,
        collector_host: pool.collector.clone(),
        condor_config: pool.condor_config.clone(),
        auth_method,
        proxy,
        cadir,
        certfile,
        keyfile,
        debug,
        dummy_job,
        data_root_folder,
        rest,
    }
}

type Keys = Vec<(String, serde_json::Value)>;

/// The files that were named, else those that lie where the plugins had them.
fn files(named: &[PathBuf]) -> anyhow::Result<Vec<(String, Keys)>> {
    let variable = variables(&[FILE_VARIABLE]).into_iter().map(|(_, file)| PathBuf::from(file));
    let named: Vec<PathBuf> = if named.is_empty() { variable.collect() } else { named.to_vec() };
    let files: Vec<PathBuf> = match named.is_empty() {
        false => named,
        true => WORKING_FOLDER_FILES.iter().map(PathBuf::from).filter(|file| file.exists()).collect(),
    };
    files.iter().map(|file| Ok((file.display().to_string(), read(file)?))).collect()
}

fn read(file: &Path) -> anyhow::Result<Keys> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read the configuration file {}", file.display()))?;
    match legacy::parse(&text) {
        Ok(keys) => Ok(keys),
        Err(why) => bail!("the configuration file {} cannot be read: {why}", file.display()),
    }
}
