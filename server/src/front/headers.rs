//! What the gate reads of a request's headers.

use crate::error::Error;
use std::time::Duration;
use tonic::codegen::http::HeaderMap;

/// The header with a request's id, the caller's or ours.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The header with a caller's deadline.
const TIMEOUT: &str = "grpc-timeout";
/// Longest id that is taken over from a caller.
const REQUEST_ID_LEN_MAX: usize = 64;
/// By so much our own deadline comes before the caller's, so that the caller reads our answer.
const DEADLINE_MARGIN: Duration = Duration::from_millis(5);
/// The least share of the caller's time that is left to the request.
const DEADLINE_SHARE: f64 = 0.9;

/// The secret that a caller shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// The caller's id where it is one, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let sound =
        |id: &&str| (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(sound);
    given.map_or_else(
        || {
            let mut bytes = [0; 8];
            // Ids need not be unguessable; without random bytes they are only less distinct.
            let _ = getrandom::fill(&mut bytes);
            format!("{:016x}", u64::from_le_bytes(bytes))
        },
        str::to_owned,
    )
}

/// What is left of the caller's deadline, less what the answer needs to arrive in time; `None`: there is none.
///
/// # Errors
/// [`Error::Invalid`] for a header that says no time.
pub(super) fn time_left(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(given) = headers.get(TIMEOUT) else { return Ok(None) };
    let time = given.to_str().ok().and_then(time).ok_or_else(|| {
        Error::invalid(
            TIMEOUT,
            "it is 1 to 8 digits and one of H, M, S, m, u and n, as in 500m for half a second",
        )
    })?;
    Ok(Some(time.saturating_sub(DEADLINE_MARGIN).max(time.mul_f64(DEADLINE_SHARE))))
}

/// A time as gRPC writes it.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderValue;

    #[test]
    fn deadlines_leave_time_for_the_answer() {
        let left = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static(text));
            time_left(&headers).ok()
        };
        assert_eq!(left("1S"), Some(Some(Duration::from_millis(995))));
        assert_eq!(left("10m"), Some(Some(Duration::from_millis(9))));
        assert_eq!(left("2H"), Some(Some(Duration::from_secs(7200) - DEADLINE_MARGIN)));
        for unsound in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1 S"] {
            assert_eq!(left(unsound), None, "{unsound:?}");
        }
        assert!(time_left(&HeaderMap::new()).is_ok_and(|left| left.is_none()));
    }

    #[test]
    fn ids_are_taken_over_where_they_are_sound() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::try_from(text).expect("a header"));
            request_id(&headers)
        };
        assert_eq!(id("order-17"), "order-17");
        for unsound in ["", "two words", &"x".repeat(65)] {
            assert_eq!(id(unsound).len(), 16, "{unsound:?}");
        }
    }
}
