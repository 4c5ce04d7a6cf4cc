//! Tokens that the API server vouches for: those of accounts in the cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use crate::config::CallerSettings;
use crate::http::callers::Check;
use crate::limits::{REVIEW_KEPT, REVIEWS_KEPT};

/// The check that settings ask for, if they do.
pub(super) fn check(client: Client, settings: &CallerSettings) -> Vec<Arc<dyn Check>> {
    let users = settings.interlink_token_review_users.clone();
    let audience = settings.interlink_token_review_audience.clone();
    let reviewer = || Arc::new(Reviewer::new(client, users.clone(), audience)) as Arc<dyn Check>;
    if users.is_empty() { Vec::new() } else { vec![reviewer()] }
}

type Known = HashMap<[u8; 32], (Instant, Result<String, String>)>;

/// Asks the API server whose a token is.
struct Reviewer {
    api: Api<TokenReview>,
    users: Vec<String>,
    audience: Option<String>,
    /// By the token's hash: tokens themselves are not kept.
    known: Mutex<Known>,
}

impl Reviewer {
    /// Lets these users in.
    fn new(client: Client, users: Vec<String>, audience: Option<String>) -> Reviewer {
        Reviewer { api: Api::all(client), users, audience, known: Mutex::default() }
    }

    async fn ask(&self, token: &str) -> Result<Result<String, String>, String> {
        let spec = TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: self.audience.clone().map(|audience| vec![audience]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.api.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|why| format!("the API server did not review the token: {why}"))?;
        let status = answer.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            return Ok(Err("the API server does not know the token".to_owned()));
        }
        if self.audience.as_ref().is_some_and(|a| !status.audiences.unwrap_or_default().contains(a)) {
            return Ok(Err("the token is for another audience".to_owned()));
        }
        let user = status.user.and_then(|user| user.username).unwrap_or_default();
        Ok(match self.users.contains(&user) {
            true => Ok(user),
            false => Err(format!("{user:?} is not among those who may call")),
        })
    }
}

impl Check for Reviewer {
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, String>> {
        async move {
            let hash: [u8; 32] = Sha256::digest(token).into();
            let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((then, answer)) = lock().get(&hash)
                && then.elapsed() < REVIEW_KEPT
            {
                return answer.clone();
            }
            let answer = self.ask(token).await?;
            let mut known = lock();
            if known.len() >= REVIEWS_KEPT {
                known.clear();
            }
            known.insert(hash, (Instant::now(), answer.clone()));
            answer
        }
        .boxed()
    }
}
