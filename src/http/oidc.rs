//! Tokens of an issuer (OpenID Connect): what an OAuth2 proxy forwards, or what callers get themselves.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Client;
use serde::Deserialize;

use super::callers::{Bearer, Check};
use crate::limits::{ISSUER_ANSWER_MAX, ISSUER_GAP, ISSUER_KEYS_KEPT, ISSUER_PATIENCE};

/// Only with a key of the issuer's own: never one that both sides have.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Whose tokens are good.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its URL, which stands in its tokens.
    pub url: String,
    /// Whom its tokens must be for.
    pub audience: String,
    /// Who may call; everybody without.
    pub subjects: Vec<String>,
    /// The authority of the issuer's own certificate, PEM.
    pub ca: Option<Vec<u8>>,
}

/// Checks the tokens of an issuer.
pub struct Oidc {
    issuer: Issuer,
    client: Client,
    keys: Mutex<Keys>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    asked: Option<Instant>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Oidc {
    /// Nothing is asked of the issuer before a token comes.
    pub fn new(issuer: Issuer) -> Result<Oidc, String> {
        if !is_safe(&issuer.url) {
            return Err(format!("the issuer {} must be an https URL", issuer.url));
        }
        let mut builder =
            Client::builder().timeout(ISSUER_PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(ca) = &issuer.ca {
            let ca = reqwest::Certificate::from_pem_bundle(ca).map_err(|why| why.to_string())?;
            builder = builder.tls_certs_merge(ca);
        }
        let client = builder.build().map_err(|why| why.to_string())?;
        Ok(Oidc { issuer, client, keys: Mutex::default(), asking: tokio::sync::Mutex::new(()) })
    }

    async fn subject(&self, token: &str) -> Result<String, String> {
        let header = decode_header(token).map_err(|_| "the token is none of the issuer's".to_owned())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("the token is signed with {:?}", header.alg));
        }
        let key = self.key(header.kid.as_deref()).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer.url]);
        validation.set_audience(&[&self.issuer.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let claims = decode::<Claims>(token, &key, &validation);
        let Claims { sub } = claims.map_err(|why| format!("the token of the issuer: {why}"))?.claims;
        match self.issuer.subjects.is_empty() || self.issuer.subjects.contains(&sub) {
            true => Ok(sub),
            false => Err(format!("{sub:?} is not among those who may call")),
        }
    }

    /// The issuer's key of this id; its only one where the token names none.
    async fn key(&self, id: Option<&str>) -> Result<DecodingKey, String> {
        if let Some(key) = self.known(id, ISSUER_KEYS_KEPT) {
            return key;
        }
        let _turn = self.asking.lock().await;
        if let Some(key) = self.known(id, ISSUER_GAP) {
            return key;
        }
        let asked = {
            let keys = self.keys();
            keys.asked.is_some_and(|then| then.elapsed() < ISSUER_GAP)
        };
        if !asked {
            let found = self.fetch().await;
            let mut keys = self.keys();
            keys.asked = Some(Instant::now());
            match found {
                Ok(set) => keys.set = Some(set),
                // What was good stays good: an issuer may be away for a while.
                Err(why) => tracing::warn!(issuer = self.issuer.url, why, "failed to get the issuer's keys"),
            }
        }
        self.find(id)
            .unwrap_or_else(|| Err("the issuer's keys are not known, or it has not this one".to_owned()))
    }

    /// A key that is known and not older than so.
    fn known(&self, id: Option<&str>, age: std::time::Duration) -> Option<Result<DecodingKey, String>> {
        let is_new = self.keys().asked.is_some_and(|then| then.elapsed() < age);
        is_new.then(|| self.find(id)).flatten()
    }

    fn find(&self, id: Option<&str>) -> Option<Result<DecodingKey, String>> {
        let keys = self.keys();
        let set = keys.set.as_ref()?;
        let jwk = match (id, &set.keys[..]) {
            (Some(id), _) => set.find(id)?,
            (None, [only]) => only,
            (None, _) => return Some(Err("the token does not say which key it is signed with".to_owned())),
        };
        Some(DecodingKey::from_jwk(jwk).map_err(|why| format!("the issuer's key: {why}")))
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.url.trim_end_matches('/'));
        let Discovery { issuer, jwks_uri } = self.get(&url).await?;
        if issuer != self.issuer.url {
            return Err(format!("it calls itself {issuer}"));
        }
        if !is_safe(&jwks_uri) {
            return Err(format!("its keys are at {jwks_uri}, which is not https"));
        }
        self.get(&jwks_uri).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let failed = |why: String| format!("{url}: {why}");
        let mut answer = self.client.get(url).send().await.map_err(|why| failed(format!("{why:?}")))?;
        if !answer.status().is_success() {
            return Err(failed(answer.status().to_string()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|why| failed(why.to_string()))? {
            body.extend_from_slice(&piece);
            if body.len() > ISSUER_ANSWER_MAX {
                return Err(failed("the answer is too large".to_owned()));
            }
        }
        serde_json::from_slice(&body).map_err(|why| failed(why.to_string()))
    }
}

/// Who gives us keys must be who he says; on this machine's loopback nobody else is.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let is_loopback = url.host_str().and_then(|host| host.parse::<std::net::IpAddr>().ok());
    url.scheme() == "https" || is_loopback.is_some_and(|address| address.is_loopback())
}

impl Check for Oidc {
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Bearer, String>> {
        async move { self.subject(token).await.map(|subject| format!("oidc:{subject}").into()) }.boxed()
    }
}
