//! The InterLink endpoint, from settings to listeners: what a site decides about pods, where callers come
//! in, and what they must show.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;

use super::operator::Operator;
use crate::config::callers::ClientCertificate;
use crate::config::{CallerSettings, OperatorSettings, PodSettings, tool_environment};
use crate::http::callers::{Bearers, Callers, Check};
use crate::http::oidc::{Issuer, Oidc};
use crate::http::pages::Hosts;
use crate::http::place::Place;
use crate::http::tls::{Tls, TlsFiles};
use crate::http::token::TokenFile;
use crate::interlink::PingCheck;
use crate::interlink::credential::Credential;
use crate::interlink::legacy::{self, TlsBlock};
use crate::{http, interlink, pod};

pub(super) use legacy::Listener;

const HOUR: Duration = Duration::from_secs(3_600);

impl Listener {
    /// Those of `--interlink-listen`.
    pub fn of_settings(settings: &CallerSettings) -> anyhow::Result<Vec<Listener>> {
        let tls = settings.interlink_tls_cert.is_some();
        let read = |text: &String| -> anyhow::Result<Listener> {
            let place: Place = text.parse().map_err(|why| anyhow::anyhow!("--interlink-listen: {why}"))?;
            Ok(Listener { tls: tls && matches!(place, Place::Tcp(_)), place })
        };
        settings.interlink_listen.iter().map(read).collect()
    }
}

/// What the site decides about the door and its pods.
pub(super) fn settings(settings: &OperatorSettings) -> anyhow::Result<interlink::Settings> {
    let callers = &settings.callers;
    Ok(interlink::Settings {
        pods: pods(settings)?,
        unknown_waits: seconds(callers.interlink_unknown_waits_seconds),
        orphan_after: seconds(callers.interlink_orphan_hours * HOUR.as_secs_f64()),
        job_scripts: callers.interlink_job_scripts,
        shared_pods: callers.interlink_shared_pods,
        queued_without_state: callers.interlink_queued_without_state,
        ping_check: match tool_credential().filter(|_| callers.interlink_ping_checks_credential) {
            Some(file) => Some(ping_check(file)?),
            None => None,
        },
        ..interlink::Settings::default()
    })
}

/// A time that a site has set; a year is for ever.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 365.0 * 24.0 * HOUR.as_secs_f64()))
}

/// Says at each ping what is wrong with this proxy or token.
pub(super) fn ping_check(file: PathBuf) -> anyhow::Result<PingCheck> {
    let credential = Credential::new(file).map_err(anyhow::Error::msg)?;
    Ok(PingCheck(Arc::new(move || credential.trouble(Timestamp::now()))))
}

/// The proxy or token that HTCondor's tools find in their environment.
fn tool_credential() -> Option<PathBuf> {
    let environment = tool_environment();
    let named = |name: &str| environment.iter().find(|(known, _)| known == name);
    let found = named("BEARER_TOKEN_FILE").or_else(|| named("X509_USER_PROXY"));
    found.map(|(_, file)| PathBuf::from(file))
}

fn pods(settings: &OperatorSettings) -> anyhow::Result<pod::Settings> {
    let PodSettings {
        pod_cpus,
        pod_memory_mib,
        pod_disk_mib,
        pod_host_paths,
        pod_claims,
        pod_host_image_namespaces,
        pod_image_paths,
        site_scripts,
    } = &settings.pods;
    let read = |(site, file): &(String, PathBuf)| {
        let script = std::fs::read(file);
        let script =
            script.with_context(|| format!("failed to read the script of {site}, {}", file.display()))?;
        Ok((site.clone(), script))
    };
    Ok(pod::Settings {
        image_registry: settings.images.image_registry.clone(),
        images: pod::Allowed::of(pod_host_image_namespaces, pod_image_paths),
        default_cpus: *pod_cpus,
        default_memory_mib: *pod_memory_mib,
        default_disk_mib: *pod_disk_mib,
        host_paths: pod_host_paths.clone(),
        claims: pod_claims.iter().cloned().collect(),
        site_scripts: site_scripts.iter().map(read).collect::<anyhow::Result<_>>()?,
        ..pod::Settings::default()
    })
}

/// Whether the settings ask callers of every listener who they are.
pub(super) fn asks(settings: &CallerSettings) -> bool {
    settings.interlink_token_file.is_some()
        || settings.interlink_oidc_issuer.is_some()
        || !settings.interlink_token_review_users.is_empty()
        || (settings.interlink_client_ca.is_some() && settings.interlink_tls_cert.is_some())
}

/// The settings with the certificate that an old file names, unless they name one.
pub(super) fn with_block(settings: &CallerSettings, block: Option<&TlsBlock>) -> CallerSettings {
    let mut settings = settings.clone();
    if let (None, Some(TlsBlock { certificate, key, client_ca })) = (&settings.interlink_tls_cert, block) {
        settings.interlink_tls_cert = Some(certificate.clone());
        settings.interlink_tls_key = Some(key.clone());
        settings.interlink_client_ca = settings.interlink_client_ca.or(client_ca.clone());
    }
    settings
}

/// Opens the door and its listeners, with more checks of tokens than settings alone can say.
pub(super) async fn open(
    operator: &Operator,
    settings: &CallerSettings,
    listeners: Vec<Listener>,
    site: interlink::Settings,
    more: Vec<Arc<dyn Check>>,
) -> anyhow::Result<()> {
    let (mut checks, tls) = (checks(settings)?, tls(settings)?);
    checks.extend(more);
    let door = interlink::Door::new(operator.engine.clone(), site, operator.metrics.clone());
    for listener in listeners {
        let callers = callers(&listener, settings, &checks)?;
        let (is_open, tls) = (callers.is_everybody(), tls.clone().filter(|_| listener.tls));
        let router = interlink::router(door.clone());
        let (doors, stop) = (&operator.doors, &operator.stop_doors);
        let place = http::serve_callers(&listener.place, tls, router, callers, doors, stop).await?;
        tracing::info!(%place, tls = listener.tls, "listening for InterLink");
        match place {
            Place::Tcp(_) if is_open && place.is_local() => tracing::warn!(
                %place,
                "every user of this machine may run jobs in your name there; --interlink-token-file asks for a token"
            ),
            Place::Tcp(_) if is_open => {
                tracing::warn!(%place, "everybody who reaches this may run jobs in your name (--insecure-public)");
            }
            _ => {}
        }
    }
    let stop = operator.stop_doors.clone();
    operator.doors.spawn(door.run(stop));
    Ok(())
}

/// What callers must show at a listener; an error where others would come in unasked.
pub(super) fn callers(
    listener: &Listener,
    settings: &CallerSettings,
    checks: &[Arc<dyn Check>],
) -> anyhow::Result<Callers> {
    let has_tls = listener.tls && settings.interlink_tls_cert.is_some();
    let subjects = &settings.interlink_client_subjects;
    let bearers = || match subjects.is_empty() {
        true => Bearers::All,
        false => Bearers::Named(subjects.clone()),
    };
    let callers = match listener.place {
        // Its mode lets nobody else in.
        Place::Unix(_) => Callers { ourselves: true, ..Callers::default() },
        Place::Tcp(_) => Callers {
            ourselves: false,
            certificate: (has_tls && settings.interlink_client_ca.is_some()).then(bearers),
            checks: checks.to_vec(),
            hosts: Hosts::new(&settings.interlink_host_names),
        },
    };
    ensure!(
        !callers.is_everybody() || listener.place.is_local() || settings.insecure_public,
        "whoever reaches {} would run jobs in your name: set --interlink-token-file, client certificates \
         (--interlink-tls-cert, --interlink-client-ca) or an issuer (--interlink-oidc-issuer), or \
         --insecure-public",
        listener.place
    );
    Ok(callers)
}

/// What knows good tokens, as the settings name it.
pub(super) fn checks(settings: &CallerSettings) -> anyhow::Result<Vec<Arc<dyn Check>>> {
    let mut checks: Vec<Arc<dyn Check>> = Vec::new();
    if let Some(file) = &settings.interlink_token_file {
        checks.push(Arc::new(TokenFile::new(file).map_err(anyhow::Error::msg)?));
    }
    if let (Some(url), Some(audience)) = (&settings.interlink_oidc_issuer, &settings.interlink_oidc_audience)
    {
        let read = |file| std::fs::read(file).with_context(|| format!("failed to read {file:?}"));
        let issuer = Issuer {
            url: url.clone(),
            audience: audience.clone(),
            subjects: settings.interlink_oidc_subjects.clone(),
            ca: settings.interlink_oidc_ca.as_ref().map(read).transpose()?,
        };
        checks.push(Arc::new(Oidc::new(issuer).map_err(anyhow::Error::msg)?));
    }
    Ok(checks)
}

/// The certificate and who must show one, as the settings name them.
pub(super) fn tls(settings: &CallerSettings) -> anyhow::Result<Option<Tls>> {
    let (certificate, key) = match (&settings.interlink_tls_cert, &settings.interlink_tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        (None, None) => {
            ensure!(
                settings.interlink_client_ca.is_none(),
                "client certificates need TLS: set --interlink-tls-cert and --interlink-tls-key"
            );
            return Ok(None);
        }
        _ => bail!("--interlink-tls-cert and --interlink-tls-key go together"),
    };
    let files = TlsFiles {
        certificate,
        key,
        client_ca: settings.interlink_client_ca.clone(),
        client_optional: settings.interlink_client_cert == ClientCertificate::Optional,
    };
    Tls::new(files).map(Some).map_err(anyhow::Error::msg)
}
