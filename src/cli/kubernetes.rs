//! The client of Kubernetes: every silence of the API server has an end.

use kube::config::InferConfigError;
use kube::{Client, Config};
use thiserror::Error;

use crate::limits::API_SILENCE;

/// Why there is no client.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// No settings were found.
    #[error("failed to find a Kubernetes cluster; set KUBECONFIG: {0}")]
    Infer(#[from] InferConfigError),
    /// They cannot be used.
    #[error("the settings of the Kubernetes cluster cannot be used: {0}")]
    Settings(#[from] kube::Error),
}

/// A client of the cluster that kubectl would find.
pub(super) async fn client() -> Result<Client, ClientError> {
    let mut config = Config::infer().await?;
    // By default a request that is never answered is waited for without end.
    config.read_timeout = Some(API_SILENCE);
    config.reset_reader_on_write = true;
    // By default a request that is refused for now is kept for up to a quarter of an hour at a time, and nothing
    // is told. Who asked tries again, with pauses of its own.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
