//! What a caller over HTTP may be told: a status and one plain sentence. What is inside is logged.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

/// Every refusal that we answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// 400: the request is not what it should be.
    BadRequest(String),
    /// 401: it does not come from whom it says.
    Unauthorized(&'static str),
    /// 403: it does not come from where it may.
    Forbidden(String),
    /// 404: there is no such thing.
    NotFound(String),
    /// 405: it is there, but not for this method.
    MethodNotAllowed(&'static str),
    /// 408: the rest of the request did not come.
    TooSlow(&'static str),
    /// 409: not now; it may be right later.
    Conflict(String),
    /// 410: there was such a thing, or never was, and never will be.
    Gone(&'static str),
    /// 413: the body is larger than anything that we take.
    TooLarge(String),
    /// 500: our fault; the reason is in the log.
    Internal,
    /// 503: try again a little later.
    NotReady(&'static str),
    /// 503: there is no room; the header `Retry-After` says when to try again, and the connection is
    /// closed, so that it takes none meanwhile.
    Busy {
        /// When there may be.
        later: Duration,
    },
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            HttpError::BadRequest(why) => (StatusCode::BAD_REQUEST, why),
            HttpError::Unauthorized(why) => (StatusCode::UNAUTHORIZED, why.to_owned()),
            HttpError::Forbidden(why) => (StatusCode::FORBIDDEN, why),
            HttpError::NotFound(why) => (StatusCode::NOT_FOUND, why),
            HttpError::MethodNotAllowed(why) => (StatusCode::METHOD_NOT_ALLOWED, why.to_owned()),
            HttpError::TooSlow(why) => (StatusCode::REQUEST_TIMEOUT, why.to_owned()),
            HttpError::Conflict(why) => (StatusCode::CONFLICT, why),
            HttpError::Gone(why) => (StatusCode::GONE, why.to_owned()),
            HttpError::TooLarge(why) => (StatusCode::PAYLOAD_TOO_LARGE, why),
            HttpError::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "something failed here; see the operator's log".to_owned(),
            ),
            HttpError::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()),
            HttpError::Busy { later } => {
                let head = [(RETRY_AFTER, later.as_secs().to_string()), (CONNECTION, "close".to_owned())];
                return (StatusCode::SERVICE_UNAVAILABLE, head, "there is no room just now\n")
                    .into_response();
            }
        };
        (status, sentence + "\n").into_response()
    }
}
