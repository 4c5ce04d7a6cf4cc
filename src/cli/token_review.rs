//! Tokens that the API server vouches for: those of accounts in the cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::config::CallerSettings;
use crate::http::callers::{Bearer, Check};
use crate::limits::{
    REVIEW_GOOD_KEPT, REVIEW_KEPT, REVIEW_PATIENCE, REVIEWS_KEPT, STRANGERS_REVIEWED, STRANGERS_WINDOW,
};

/// The check that settings ask for, if they do.
pub(super) fn check(client: Client, settings: &CallerSettings) -> Vec<Arc<dyn Check>> {
    let users = settings.interlink_token_review_users.clone();
    let audience = settings.interlink_token_review_audience.clone();
    let reviewer = || Arc::new(Reviewer::new(client, users.clone(), audience)) as Arc<dyn Check>;
    if users.is_empty() { Vec::new() } else { vec![reviewer()] }
}

/// Whose a token is, or why it lets nobody in.
type Answer = Result<Bearer, String>;

/// What is known of a token.
#[derive(Clone)]
struct Known {
    /// When the API server was asked last, with or without an answer.
    asked: Instant,
    /// When it answered last.
    answered: Instant,
    answer: Answer,
}

impl Known {
    /// Whether somebody was let in with it so lately that he is let in though nobody can be asked.
    fn is_good(&self, now: Instant) -> bool {
        self.answer.is_ok() && now.duration_since(self.answered) < REVIEW_GOOD_KEPT
    }

    /// What counts without asking, if that is enough.
    fn still(&self, now: Instant) -> Option<&Answer> {
        let unanswered = self.asked > self.answered;
        let recent = now.duration_since(self.asked) < REVIEW_KEPT;
        (recent && (!unanswered || self.is_good(now))).then_some(&self.answer)
    }

    /// What is known after the API server was asked: what it said; if it said nothing, what it said before,
    /// where that was good; else why it said nothing.
    fn after(before: Option<&Known>, review: Result<Answer, String>, now: Instant) -> Result<Known, String> {
        match (review, before.filter(|before| before.is_good(now))) {
            (Ok(answer), _) => Ok(Known { asked: now, answered: now, answer }),
            (Err(_), Some(before)) => Ok(Known { asked: now, ..before.clone() }),
            (Err(why), None) => Err(why),
        }
    }
}

/// Asks the API server whose a token is.
struct Reviewer {
    api: Api<TokenReview>,
    users: Vec<String>,
    audience: Option<String>,
    patience: Duration,
    /// By the token's hash: tokens themselves are not kept.
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// Reviews of tokens that were not good lately: since when they are counted, and how many there were.
    strangers: Mutex<(Instant, u32)>,
}

impl Reviewer {
    /// Lets these users in.
    fn new(client: Client, users: Vec<String>, audience: Option<String>) -> Reviewer {
        Reviewer {
            api: Api::all(client),
            users,
            audience,
            patience: REVIEW_PATIENCE,
            known: Mutex::default(),
            strangers: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Whether one more token that was not good lately is shown to the API server: anybody can make up any number.
    fn is_reviewed(&self, now: Instant) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = &mut *strangers;
        if now.duration_since(*since) >= STRANGERS_WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= STRANGERS_REVIEWED
    }

    /// What the API server says; an error where it says nothing.
    async fn ask(&self, token: &str) -> Result<Answer, String> {
        let spec = TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: self.audience.clone().map(|audience| vec![audience]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        // The client itself would wait for ever.
        let answer = timeout(self.patience, self.api.create(&PostParams::default(), &review)).await;
        let answer = answer.map_err(|_| {
            format!("the API server did not review the token within {} s", self.patience.as_secs())
        })?;
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
            true => Ok(format!("user:{user}").into()),
            false => Err(format!("{user:?} is not among those who may call")),
        })
    }
}

impl Check for Reviewer {
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Answer> {
        async move {
            let hash: [u8; 32] = Sha256::digest(token).into();
            let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = lock().get(&hash).and_then(|known| known.still(Instant::now())) {
                return answer.clone();
            }
            let was_good = lock().get(&hash).is_some_and(|known| known.is_good(Instant::now()));
            if !was_good && !self.is_reviewed(Instant::now()) {
                return Err("too many unknown tokens are shown; try again in a few seconds".to_owned());
            }
            let review = self.ask(token).await;
            let why = review.as_ref().err().cloned();
            let (mut known, now) = (lock(), Instant::now());
            let after = Known::after(known.get(&hash), review, now)?;
            if let Some(why) = why {
                tracing::warn!(why, "whoever was let in lately is still let in, nobody else");
            }
            if known.len() >= REVIEWS_KEPT {
                // Strangers with many tokens do not make us forget those who may.
                known.retain(|_, known| known.is_good(now));
            }
            if known.len() >= REVIEWS_KEPT {
                known.clear();
            }
            known.insert(hash, after.clone());
            after.answer
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    fn known(answer: Answer, answered: Duration) -> (Known, Instant) {
        let now = Instant::now() + Duration::from_secs(86_400);
        (Known { asked: now - answered, answered: now - answered, answer }, now)
    }

    #[test]
    fn who_was_let_in_lately_is_let_in_while_nobody_can_be_asked() {
        let (good, bad) = (Ok("vk".into()), Err("unknown".to_owned()));
        let silence = || Err("no answer".to_owned());
        let (lately, long_ago) = (REVIEW_GOOD_KEPT / 2, REVIEW_GOOD_KEPT);
        let (before, now) = known(good.clone(), lately);
        assert!(before.still(now).is_none(), "it is asked again");
        let after = Known::after(Some(&before), silence(), now).unwrap();
        assert_eq!(after.still(now), Some(&good));
        assert_eq!(after.still(now + REVIEW_KEPT), None, "it is asked again");
        assert_eq!(after.still(now + REVIEW_GOOD_KEPT), None);
        assert!(after.answered < now, "silence makes nobody good");
        // A no counts at once.
        assert_eq!(Known::after(Some(&before), Ok(bad.clone()), now).unwrap().answer, bad);
        let (before, now) = known(good, long_ago);
        assert_eq!(Known::after(Some(&before), silence(), now).err(), silence().err());
        let (before, now) = known(bad, lately);
        assert_eq!(Known::after(Some(&before), silence(), now).err(), silence().err());
        assert_eq!(Known::after(None, silence(), now).err(), silence().err());
    }

    #[tokio::test]
    async fn an_api_server_that_hangs_is_not_waited_for() {
        let hangs = Arc::new(AtomicBool::new(false));
        let is_hanging = hangs.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let hangs = is_hanging.load(Ordering::SeqCst);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                let review = json!({
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                    "status": { "authenticated": true, "user": { "username": "vk" } },
                });
                Ok::<_, std::io::Error>(Response::new(Body::from(review.to_string().into_bytes())))
            }
        });
        let client = Client::new(service, "default");
        let mut reviewer = Reviewer::new(client, vec!["vk".to_owned()], None);
        assert_eq!(reviewer.check("its token").await.as_deref(), Ok("user:vk"));
        hangs.store(true, Ordering::SeqCst);
        reviewer.patience = Duration::from_millis(10);
        let why = reviewer.check("another token").await.unwrap_err();
        assert!(why.contains("did not review"), "{why}");
        // Longer ago than an answer counts without asking.
        let hash: [u8; 32] = Sha256::digest("its token").into();
        let ago = Instant::now() - REVIEW_KEPT;
        reviewer.known.lock().unwrap().entry(hash).and_modify(|known| {
            (known.asked, known.answered) = (ago, ago);
        });
        assert_eq!(reviewer.check("its token").await.as_deref(), Ok("user:vk"));
    }

    #[tokio::test]
    async fn tokens_that_are_made_up_cost_few_reviews_and_shut_out_nobody_who_is_known() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let body = request.into_body().collect_bytes().await.unwrap();
                let is_good = String::from_utf8_lossy(&body).contains("its token");
                let review = json!({
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                    "status": { "authenticated": is_good, "user": { "username": "vk" } },
                });
                Ok::<_, std::io::Error>(Response::new(Body::from(review.to_string().into_bytes())))
            }
        });
        let reviewer = Reviewer::new(Client::new(service, "default"), vec!["vk".to_owned()], None);
        assert_eq!(reviewer.check("its token").await.as_deref(), Ok("user:vk"));
        for n in 0..10 * STRANGERS_REVIEWED {
            reviewer.check(&format!("made up {n}")).await.unwrap_err();
            reviewer.check("made up 0").await.unwrap_err();
        }
        assert!(asked.load(Ordering::SeqCst) <= 2 * STRANGERS_REVIEWED, "{asked:?}");
        // It is asked for anew as if there were no others.
        let hash: [u8; 32] = Sha256::digest("its token").into();
        let ago = Instant::now() - REVIEW_KEPT;
        reviewer.known.lock().unwrap().entry(hash).and_modify(|known| {
            (known.asked, known.answered) = (ago, ago);
        });
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(reviewer.check("its token").await.as_deref(), Ok("user:vk"));
        assert_eq!(asked.load(Ordering::SeqCst), before + 1);
    }
}
