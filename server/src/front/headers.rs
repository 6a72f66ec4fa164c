//! What the gate reads of a request's headers.

use std::time::Duration;
use tonic::codegen::http::HeaderMap;

/// The header with a request's id, the caller's or ours.
pub(super) const REQUEST_ID: &str = "x-request-id";
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

/// What is left of the caller's deadline, less what the answer needs to arrive in time.
pub(super) fn time_left(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    let time = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(time.saturating_sub(DEADLINE_MARGIN).max(time.mul_f64(DEADLINE_SHARE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::codegen::http::HeaderValue;

    #[test]
    fn deadlines_leave_time_for_the_answer() {
        let left = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            time_left(&headers)
        };
        assert_eq!(left("1S"), Some(Duration::from_millis(995)));
        assert_eq!(left("10m"), Some(Duration::from_millis(9)));
        assert_eq!(left("2H"), Some(Duration::from_secs(7200) - DEADLINE_MARGIN));
        for unsound in ["", "S", "1", "1x", "-1S", "123456789S"] {
            assert_eq!(left(unsound), None, "{unsound:?}");
        }
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
