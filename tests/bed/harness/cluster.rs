//! Kubernetes with an admin's rights: objects are applied, watched and deleted as a user would.

use htc_operator::htcjob::types::{HTCJob, HTCJobStatus, Phase};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;

use super::bed::Bed;
use super::kubeconfig;
use super::patience::until;

/// An HTCJob that was applied.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A client with the rights of one of the bed's kubeconfigs.
pub async fn client(who: &str) -> Client {
    let file = Kubeconfig::read_from(kubeconfig(who)).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Makes a namespace.
pub async fn make_namespace(client: &Client, name: &str) {
    let namespace = json!({ "metadata": { "name": name, "labels": { "htc.cern.ch/test": "bed" } } });
    let namespace: Namespace = serde_json::from_value(namespace).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// The names of the namespaces that tests have made.
pub async fn test_namespaces(client: &Client) -> Vec<String> {
    let ours = ListParams::default().labels("htc.cern.ch/test=bed");
    let list = Api::<Namespace>::all(client.clone()).list_metadata(&ours).await.unwrap();
    list.items.iter().map(ResourceExt::name_any).collect()
}

/// Removes the lease that operators of this instance id have left.
pub async fn remove_lease(client: &Client, instance: &str) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "htc-operator");
    match leases.delete(&format!("htc-operator-{instance}"), &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// Removes a namespace with all its HTCJobs, whose finalizers nobody serves any more.
pub async fn remove_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let jobs: Api<HTCJob> = Api::namespaced(client.clone(), name);
    for job in jobs.list_metadata(&ListParams::default()).await?.items {
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        let _gone_already = jobs.patch_metadata(&job.name_any(), &PatchParams::default(), &free).await;
    }
    Api::<Namespace>::all(client.clone()).delete(name, &DeleteParams::background()).await.map(drop)
}

impl Bed {
    /// The HTCJobs of this bed's namespace.
    pub fn htcjobs(&self) -> Api<HTCJob> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an HTCJob to the bed's namespace.
    pub async fn apply(&self, job: HTCJob) -> Job {
        self.apply_in(&self.namespace, job).await
    }

    /// Applies an HTCJob to a namespace.
    pub async fn apply_in(&self, namespace: &str, job: HTCJob) -> Job {
        let api: Api<HTCJob> = Api::namespaced(self.client.clone(), namespace);
        let job = api.create(&PostParams::default(), &job).await.unwrap();
        Job { namespace: namespace.to_owned(), name: job.name_any(), uid: job.uid().unwrap() }
    }

    /// The object as it is now.
    pub async fn object(&self, job: &Job) -> Option<HTCJob> {
        let api: Api<HTCJob> = Api::namespaced(self.client.clone(), &job.namespace);
        api.get_opt(&job.name).await.unwrap().filter(|object| object.uid().as_ref() == Some(&job.uid))
    }

    /// Its status as it is now.
    pub async fn status(&self, job: &Job) -> HTCJobStatus {
        self.object(job).await.and_then(|object| object.status).unwrap_or_default()
    }

    /// Waits until the status is as wanted.
    pub async fn until_status(
        &self,
        job: &Job,
        what: &str,
        wanted: impl Fn(&HTCJobStatus) -> bool,
    ) -> HTCJobStatus {
        until(&format!("{}: {what}", job.name), async || {
            let status = self.status(job).await;
            if wanted(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
    }

    /// Waits for a phase; an end in another phase fails at once.
    pub async fn until_phase(&self, job: &Job, phase: Phase) -> HTCJobStatus {
        let over = |phase| matches!(phase, Some(Phase::Succeeded | Phase::Failed));
        let wanted = |s: &HTCJobStatus| s.phase == Some(phase) || over(s.phase);
        let status = self.until_status(job, &format!("phase {phase:?}"), wanted).await;
        assert_eq!(status.phase, Some(phase), "{}: {status:#?}", job.name);
        status
    }

    /// Asks for the deletion of an HTCJob, as `kubectl delete --wait=false` does.
    pub async fn delete(&self, job: &Job) {
        let api: Api<HTCJob> = Api::namespaced(self.client.clone(), &job.namespace);
        api.delete(&job.name, &DeleteParams::default()).await.unwrap();
    }

    /// Changes an HTCJob's metadata, as `kubectl annotate` or `kubectl patch` does.
    pub async fn patch_metadata(&self, job: &Job, metadata: serde_json::Value) {
        let api: Api<HTCJob> = Api::namespaced(self.client.clone(), &job.namespace);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        api.patch_metadata(&job.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the object is gone, finalizer and all.
    pub async fn until_gone(&self, job: &Job) {
        until(&format!("{} to be gone", job.name), async || match self.object(job).await {
            None => Ok(()),
            Some(object) => Err(format!("{:?} {:#?}", object.metadata.finalizers, object.status)),
        })
        .await;
    }
}
