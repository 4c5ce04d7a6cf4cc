//! The bearer token of a request.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The token of a request. Callers send what is in a file, with its line end. A proxy that keeps the
/// caller's header beside its own sends the token twice, in two headers or in one with a comma. Of two that
/// differ none counts.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter().map(|value| token(value.to_str().ok()?));
    let first = values.next()??;
    values.all(|other| other == Some(first)).then_some(first)
}

fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = match token.split_once(',') {
        Some((one, other)) if self::token(other) == Some(one.trim()) => one,
        _ => token,
    };
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn a_token_is_read_with_blanks_around_it() {
        assert_eq!(shown(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(shown(&["bearer  abc \t"]).as_deref(), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(shown(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn a_token_that_a_proxy_sends_twice_is_one_and_of_two_none_counts() {
        for twice in
            [&["Bearer abc", "Bearer abc"][..], &["Bearer abc,Bearer abc"], &["Bearer abc, bearer abc"]]
        {
            assert_eq!(shown(twice).as_deref(), Some("abc"), "{twice:?}");
        }
        for two in
            [&["Bearer abc", "Bearer abd"][..], &["Bearer abc", "Basic abc"], &["Basic abc", "Bearer abc"]]
        {
            assert_eq!(shown(two), None, "{two:?}");
        }
        // No check knows these.
        for two in ["Bearer abc,Bearer abd", "Bearer abc,abc", "Bearer abc,Basic abc"] {
            assert_ne!(shown(&[two]).as_deref(), Some("abc"), "{two}");
        }
    }
}
