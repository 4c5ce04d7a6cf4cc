//! One operator for each instance id: a Lease in Kubernetes, which a second operator finds taken. Two of them, each
//! with a database of its own, would submit every HTCJob twice.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::Boot;
use crate::limits::{LEASE_DURATION, LEASE_LOOK, LEASE_PATIENCE, LEASE_RENEWAL};
use crate::metrics::Metrics;

/// The lease of an instance id, and who we are for it.
pub(super) struct Lease {
    api: Api<Object>,
    name: String,
    holder: String,
    /// Whether it was ours when we looked last.
    held: bool,
    others: Others,
}

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// Ours, or nobody's.
    Free,
    /// Another's, of whom it is not known yet whether he lives.
    Silent(String),
    /// Another's, who has renewed it before our eyes.
    Alive(String),
}

/// What was seen of another holder. Only whether the object changes counts, by our own clock.
#[derive(Debug, Default)]
struct Others(Option<(String, Instant)>);

impl Others {
    fn judge(&mut self, found: Option<&Object>, ours: &str, now: Instant) -> Owner {
        let spec = found.and_then(|lease| lease.spec.as_ref());
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder.is_empty() || holder == ours {
            return Owner::Free;
        }
        let version = found.and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        match &self.0 {
            Some((seen, since)) if *seen == version => match now.duration_since(*since) < LEASE_DURATION {
                true => Owner::Silent(holder.to_owned()),
                false => Owner::Free,
            },
            before => {
                let renews = before.is_some();
                self.0 = Some((version, now));
                if renews { Owner::Alive(holder.to_owned()) } else { Owner::Silent(holder.to_owned()) }
            }
        }
    }
}

impl Lease {
    /// The lease of this instance id, in this namespace, for the operator of this data folder.
    pub fn new(client: Client, namespace: &str, instance: &str, data: &Path) -> anyhow::Result<Lease> {
        Ok(Lease {
            api: Api::namespaced(client, namespace),
            name: name(instance),
            holder: holder(data)?,
            held: false,
            others: Others::default(),
        })
    }

    /// Takes it, or fails where another operator holds it and lives. Where it cannot be read or written we go on
    /// without it: jobs that run must be served while the API server is away.
    pub async fn take(&mut self) -> anyhow::Result<()> {
        loop {
            match self.claim().await {
                Ok(Owner::Free) => return Ok(()),
                Ok(Owner::Alive(holder)) => bail!(self.taken(&holder)),
                Ok(Owner::Silent(holder)) => {
                    tracing::info!(
                        holder,
                        lease = self.name,
                        "waiting whether the operator that holds the lease lives"
                    );
                    sleep(LEASE_LOOK).await;
                }
                Err(why) => {
                    self.tell(&why);
                    return Ok(());
                }
            }
        }
    }

    /// Renews it until `stop` is cancelled, and gives it back then. When another operator has it, `broken` is
    /// cancelled.
    pub async fn keep(mut self, metrics: Arc<Metrics>, stop: CancellationToken, broken: CancellationToken) {
        metrics.lease_held.set(self.held.into());
        let mut told = !self.held;
        while stop.run_until_cancelled(sleep(LEASE_RENEWAL)).await.is_some() {
            let was_held = self.held;
            match self.claim().await {
                Ok(Owner::Free) => told = false,
                Ok(Owner::Silent(_)) if !was_held => {}
                Ok(Owner::Silent(holder) | Owner::Alive(holder)) => {
                    tracing::error!("{}", self.taken(&holder));
                    broken.cancel();
                    return;
                }
                Err(why) if !std::mem::replace(&mut told, true) => self.tell(&why),
                Err(_) => {}
            }
            metrics.lease_held.set(self.held.into());
        }
        self.release().await;
    }

    fn taken(&self, holder: &str) -> String {
        format!(
            "another operator of this instance id runs: {holder} holds the lease {}. Two would submit every job \
             twice, so this one ends. Stop the other, or give this one an --instance and namespaces of its own",
            self.name
        )
    }

    fn tell(&self, why: &anyhow::Error) {
        tracing::warn!(
            lease = self.name,
            "the lease of this instance id cannot be taken ({why:#}): a second operator would not be noticed. \
             kubectl apply -f deploy/rbac.yaml, or set --lease-namespace"
        );
    }

    /// Looks whose it is, and takes or renews it if it is free.
    async fn claim(&mut self) -> anyhow::Result<Owner> {
        let claimed = timeout(LEASE_PATIENCE, self.claim_slowly()).await;
        claimed.context("the API server does not answer")?.map_err(Into::into)
    }

    async fn claim_slowly(&mut self) -> kube::Result<Owner> {
        let found = self.api.get_opt(&self.name).await?;
        let owner = self.others.judge(found.as_ref(), &self.holder, Instant::now());
        self.held &= owner == Owner::Free;
        if owner != Owner::Free {
            return Ok(owner);
        }
        let written = match found {
            None => self.api.create(&PostParams::default(), &self.first()).await,
            Some(found) => {
                let renewed = self.renewed(found);
                self.api.replace(&self.name, &PostParams::default(), &renewed).await
            }
        };
        match written {
            // Somebody was quicker: who it is, the next look tells.
            Err(kube::Error::Api(why)) if why.code == 409 => {
                Ok(Owner::Silent("an operator that starts now".to_owned()))
            }
            Err(why) => Err(why),
            Ok(_) => {
                self.held = true;
                self.others = Others::default();
                Ok(owner)
            }
        }
    }

    fn first(&self) -> Object {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        self.renewed(Object { metadata, spec: None })
    }

    /// What was found with us as its holder; it is written only over what was found.
    fn renewed(&self, found: Object) -> Object {
        let before = found.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let is_ours = before.holder_identity.as_ref() == Some(&self.holder);
        let spec = LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            acquire_time: before.acquire_time.filter(|_| is_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!is_ours)),
            ..LeaseSpec::default()
        };
        Object { metadata: found.metadata, spec: Some(spec) }
    }

    /// Lets the next operator begin at once.
    async fn release(&mut self) {
        let given = timeout(LEASE_PATIENCE, self.give_back()).await;
        if !matches!(given, Ok(Ok(()))) {
            let seconds = LEASE_DURATION.as_secs();
            tracing::warn!(
                ?given,
                "the lease was not given back; an operator elsewhere waits {seconds} s for it"
            );
        }
    }

    async fn give_back(&self) -> kube::Result<()> {
        let Some(mut found) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let spec = found.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(&self.holder) {
            spec.holder_identity = None;
            self.api.replace(&self.name, &PostParams::default(), &found).await?;
        }
        Ok(())
    }
}

/// The name of the lease of an instance id, which may be any text.
pub(super) fn name(instance: &str) -> String {
    let is_plain = instance.len() <= 200
        && instance.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !instance.ends_with('-');
    match is_plain {
        true => format!("htc-operator-{instance}"),
        false => format!("htc-operator-{}", hex(&Sha256::digest(instance), 16)),
    }
}

/// Who we are: the data folder, on this boot of this host. An operator that was killed and is started again is the
/// same one, since the folder's lock lets only one live. A copy of the folder is another one.
fn holder(data: &Path) -> anyhow::Result<String> {
    let data = data.canonicalize()?;
    let folder = data.metadata()?;
    let Boot { id, host } = Boot::this();
    let host = host.unwrap_or_else(|| "unknown".to_owned());
    // Where the boot is not known, who is killed waits until its own lease has run out.
    let boot = id.unwrap_or_else(|| format!("{:?}", Instant::now()));
    let which = Sha256::digest(format!("{boot}/{}/{}", folder.dev(), folder.ino()));
    Ok(format!("{host}:{} ({})", data.display(), hex(&which, 4)))
}

/// The first bytes as text.
fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lease(holder: &str, version: &str) -> Object {
        let spec = LeaseSpec { holder_identity: Some(holder.to_owned()), ..LeaseSpec::default() };
        let metadata = ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        Object { metadata, spec: Some(spec) }
    }

    #[test]
    fn a_lease_that_nobody_or_the_same_data_folder_holds_is_free_at_once() {
        let now = Instant::now();
        let judge = |found: Option<&Object>| Others::default().judge(found, "us", now);
        assert_eq!(judge(None), Owner::Free);
        assert_eq!(judge(Some(&Object::default())), Owner::Free);
        assert_eq!(judge(Some(&lease("", "1"))), Owner::Free);
        assert_eq!(judge(Some(&lease("us", "1"))), Owner::Free);
    }

    #[test]
    fn another_holder_lives_when_he_renews_and_is_dead_when_he_has_not_for_long() {
        let (began, mut others) = (Instant::now(), Others::default());
        let mut judge =
            |version, after: Duration| others.judge(Some(&lease("him", version)), "us", began + after);
        let second = Duration::from_secs(1);
        assert_eq!(judge("1", Duration::ZERO), Owner::Silent("him".to_owned()));
        assert_eq!(judge("1", LEASE_DURATION - second), Owner::Silent("him".to_owned()));
        assert_eq!(judge("2", LEASE_DURATION - second), Owner::Alive("him".to_owned()));
        assert_eq!(judge("2", LEASE_DURATION), Owner::Silent("him".to_owned()));
        assert_eq!(judge("2", LEASE_DURATION * 2), Owner::Free);
    }

    #[test]
    fn who_was_killed_comes_back_as_the_same_and_a_copy_of_the_folder_is_another() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(holder(one.path()).unwrap(), holder(one.path()).unwrap());
        assert_ne!(holder(one.path()).unwrap(), holder(other.path()).unwrap());
    }

    #[test]
    fn every_instance_id_has_a_name_that_kubernetes_takes() {
        let uid = "0f3c1c4e-8d54-4d5e-9d0c-3b4a51a0a6b1";
        assert_eq!(name(uid), format!("htc-operator-{uid}"));
        for strange in ["Lab A", "x/y", "ends-", "ü", &"x".repeat(300)] {
            let name = name(strange);
            assert!(
                name.len() < 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "{name}"
            );
        }
        assert_ne!(name("Lab A"), name("Lab B"));
    }
}
