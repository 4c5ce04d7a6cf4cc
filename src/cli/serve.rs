//! `htc-operator serve`: the operator of a Kubernetes cluster; HTCJobs, and InterLink where a setting
//! names a listener.

use anyhow::Context;
use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::door::{self, Listener};
use super::lease::Lease;
use super::operator::{self, Operator, pool, take_folder};
use super::{kubernetes, token_review};
use crate::config::{EVENTS_LISTEN, HEALTH_LISTEN, KubernetesSettings, Settings};
use crate::engine::SiteAttributes;
use crate::engine::keys::MasterKeys;
use crate::htcjob::{self, DoorState, Site};
use crate::pod::Allowed;

/// The settings of the operator.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings;
    let Settings { data, operator: common, kubernetes: cluster, master_key_file } = &settings;
    let lock = take_folder(&data.data_dir)?;
    let keys = MasterKeys::read(master_key_file)?;
    let client = kubernetes::client().await?;
    let instance = match &common.instance {
        Some(instance) => instance.clone(),
        None => cluster_id(&client).await?,
    };
    let mut lease = Lease::new(client.clone(), &cluster.lease_namespace, &instance, &data.data_dir)?;
    lease.take().await?;
    let pool = pool(&common.pool);
    let operator = Operator::open(lock, &data.data_dir, common, instance, keys, pool, false).await?;
    // Given back only when nothing acts any more.
    let ended = CancellationToken::new();
    let keeper = tokio::spawn(lease.keep(operator.metrics.clone(), ended.clone(), operator.broken.clone()));

    let site = site(&settings);
    operator.engine.judge_again(htcjob::DOOR, &site.attributes);
    operator.engine.await_objects(htcjob::DOOR);
    let door = DoorState::new(client.clone(), operator.engine.clone(), operator.metrics.clone(), site);
    operator.receive_reports(&common.events, common.events.events_listen.unwrap_or(EVENTS_LISTEN)).await?;
    let listed = door.clone();
    let ready: operator::Ready =
        Box::new(move || (!listed.is_ready()).then_some("HTCJobs cannot be listed; is their CRD there?\n"));
    operator.serve_health(common.health_listen.unwrap_or(HEALTH_LISTEN), ready).await?;
    let listeners = Listener::of_settings(&common.callers)?;
    if !listeners.is_empty() {
        let interlink = door::settings(common)?;
        let reviewer = token_review::check(client, &common.callers);
        door::open(&operator, &common.callers, listeners, interlink, reviewer).await?;
    }
    let (namespaces, token) = (cluster.watch_namespace.clone(), operator.stop_doors.clone());
    operator.doors.spawn(async move { htcjob::run(door, &namespaces, token).await });
    let result = operator.run().await;
    ended.cancel();
    keeper.await?;
    result
}

/// What the site says of all HTCJobs.
pub(super) fn site(settings: &Settings) -> Site {
    let KubernetesSettings {
        watch_namespace: _,
        lease_namespace: _,
        deny_attributes,
        allow_attributes,
        host_image_namespaces,
        image_paths,
        site_folders,
        inherit_from_status,
    } = &settings.kubernetes;
    Site {
        image_registry: settings.operator.images.image_registry.clone(),
        attributes: SiteAttributes { denied: deny_attributes.clone(), allowed: allow_attributes.clone() },
        images: Allowed::of(host_image_namespaces, image_paths),
        folders: site_folders.iter().filter(|path| !path.is_empty()).cloned().collect(),
        inherits_from_status: *inherit_from_status,
    }
}

/// The UID of kube-system: as old as the cluster, and no other cluster has it.
pub(super) async fn cluster_id(client: &Client) -> anyhow::Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get("kube-system").await;
    let system = system.context("failed to read the namespace kube-system for its UID; set --instance")?;
    system.metadata.uid.context("the namespace kube-system has no UID; set --instance")
}
