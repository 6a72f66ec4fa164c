//! Tokens of pages: a cursor as bytes that a caller keeps and sends back.
//!
//! One byte tells the version, four the CRC-32 of the rest, little-endian; the rest is a [`WrittenCursor`]. Whatever bytes come
//! back are read or refused: the sum only finds damage, so what a cursor says is checked again where it is used.

use crate::error::Error;
use crate::search::{Cursor, PageTerm, WeightOrigin};
use crate::store::ContentId;
use lapel_heads::Labels;
use lapel_search::SearchTerm;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// Bytes of a token: the signatures of some hundred heads.
const TOKEN_BYTES_MAX: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct WrittenCursor {
    request: ContentId,
    terms: Vec<WrittenTerm>,
    labels: Labels,
    distance: f64,
    id: String,
    seen: u32,
}

#[derive(Serialize, Deserialize)]
struct WrittenTerm {
    column: String,
    vector: Vec<f32>,
    weight: f64,
    expected: f32,
    own: f64,
    given: Option<f64>,
    confidence: Option<f64>,
    edited: bool,
    factor: f64,
}

/// The token of a cursor.
///
/// # Errors
/// [`Error::Precondition`] where it would be larger than a token may be.
pub(super) fn written(cursor: Cursor) -> Result<Vec<u8>, Error> {
    let Cursor { request, terms, labels, distance, id, seen } = cursor;
    let term = |PageTerm { term, origin }: PageTerm| {
        let SearchTerm { column, vector, weight, expected } = term;
        let WeightOrigin { own, given, confidence, edited, factor } = origin;
        let column = column.to_string();
        WrittenTerm { column, vector, weight, expected, own, given, confidence, edited, factor }
    };
    let terms = terms.into_iter().map(term).collect();
    let seen = u32::try_from(seen).unwrap_or(u32::MAX);
    let payload = postcard::to_stdvec(&WrittenCursor { request, terms, labels, distance, id, seen });
    let payload = payload.map_err(|error| Error::Internal(error.to_string()))?;
    let mut token = vec![VERSION];
    token.extend(crc32fast::hash(&payload).to_le_bytes());
    token.extend(payload);
    if token.len() > TOKEN_BYTES_MAX {
        let message =
            "the signatures of the query are too large for a page token; ask with offset instead".to_owned();
        return Err(Error::Precondition { reason: "ANSWER_TOO_LARGE", message });
    }
    Ok(token)
}

/// The cursor of a token, where it is one of this request.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn read(token: &[u8], request: ContentId) -> Result<Cursor, Error> {
    let cursor = parsed(token).ok_or_else(|| {
        let what = "this is no token of a page; send next_page_token of an answer as it came";
        Error::invalid("page_token", what)
    })?;
    if cursor.request != request {
        let what = "this token is of another request; repeat all fields but the query, or search anew";
        return Err(Error::invalid("page_token", what));
    }
    Ok(cursor)
}

fn parsed(token: &[u8]) -> Option<Cursor> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (version, rest) = token.split_first()?;
    let (sum, payload) = rest.split_first_chunk::<4>()?;
    if *version != VERSION || crc32fast::hash(payload).to_le_bytes() != *sum {
        return None;
    }
    let (cursor, rest): (WrittenCursor, &[u8]) = postcard::take_from_bytes(payload).ok()?;
    let WrittenCursor { request, terms, labels, distance, id, seen } = cursor;
    if !rest.is_empty() || !distance.is_finite() || distance.is_sign_negative() {
        return None;
    }
    let term = |written: WrittenTerm| {
        let WrittenTerm { column, vector, weight, expected, own, given, confidence, edited, factor } =
            written;
        let term = SearchTerm { column: column.as_str().into(), vector, weight, expected };
        PageTerm { term, origin: WeightOrigin { own, given, confidence, edited, factor } }
    };
    let terms = terms.into_iter().map(term).collect();
    Some(Cursor { request, terms, labels, distance, id, seen: seen as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let term = |column: &str, weight: f64| PageTerm {
            term: SearchTerm { column: column.into(), vector: vec![0.6, -0.8], weight, expected: 1.25 },
            origin: WeightOrigin {
                own: 1.5,
                given: None,
                confidence: Some(0.75),
                edited: false,
                factor: 0.5,
            },
        };
        Cursor {
            request: ContentId::of(b"a request"),
            terms: vec![term("color", 1.25), term("shape@2", 0.75)],
            labels: Labels::from([("color".to_owned(), "red".to_owned())]),
            distance: 0.1 + 0.2,
            id: "i7".to_owned(),
            seen: 40,
        }
    }

    #[test]
    fn a_cursor_comes_back_to_the_last_bit() {
        let token = written(cursor()).expect("small");
        assert_eq!(read(&token, cursor().request).expect("sound"), cursor());
        let other = read(&token, ContentId::of(b"another")).expect_err("refused").to_string();
        assert!(other.contains("another request"), "{other}");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let token = written(cursor()).expect("small");
        for bit in 0..8 * token.len() {
            let mut flipped = token.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, cursor().request).is_err(), "bit {bit}");
        }
        for length in 0..token.len() {
            assert!(read(&token[..length], cursor().request).is_err(), "{length} bytes");
        }
        let longer = [token.as_slice(), b"\0"].concat();
        assert!(read(&longer, cursor().request).is_err());
        assert!(read(&vec![VERSION; TOKEN_BYTES_MAX + 1], cursor().request).is_err());
    }

    /// Its sum is right, since whoever makes up a token can compute that, too.
    #[test]
    fn what_no_search_has_written_is_refused_without_harm() {
        let sealed = |payload: &[u8]| {
            let mut token = vec![VERSION];
            token.extend(crc32fast::hash(payload).to_le_bytes());
            token.extend(payload);
            token
        };
        let request = cursor().request;
        for bytes in [&[] as &[u8], &[0xff; 64], &[0x00; 40]] {
            assert!(read(&sealed(bytes), request).is_err(), "{bytes:?}");
        }
        // More terms are announced than there are bytes.
        let mut payload = request.0.to_vec();
        payload.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(read(&sealed(&payload), request).is_err());
        for distance in [f64::NAN, f64::INFINITY, -1.0] {
            let token = written(Cursor { distance, ..cursor() }).expect("small");
            assert!(read(&token, request).is_err(), "{distance}");
        }
    }
}
