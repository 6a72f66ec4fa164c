//! Answers of calls, compressed for whoever reads gzip.

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use std::io::Write;
use tonic::codegen::Bytes;
use tonic::codegen::http::HeaderMap;

/// Bytes of a message's prefix.
const PREFIX: usize = 5;
/// Messages below this gain nothing.
const BYTES_MIN: usize = 512;
/// Messages up to this are compressed where they are, in about a millisecond; for larger ones a thread is found that serves
/// no connections.
const HERE_MAX: usize = 64 << 10;
/// Bytes that tell whether a large message becomes smaller: pictures do not.
const SAMPLE: usize = 16 << 10;

/// Whether a caller reads gzip.
pub(super) fn reads_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get("grpc-accept-encoding").and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.split(',').any(|encoding| encoding.trim() == "gzip"))
}

/// The frame of a message with its prefix, compressed; `None` where that gains nothing.
pub(super) async fn compressed_frame(message: &Frame<Bytes>) -> Option<Frame<Bytes>> {
    compressed(message.data_ref()?).await.map(Frame::data)
}

/// A message with its prefix, compressed; `None` where that gains nothing.
async fn compressed(message: &Bytes) -> Option<Bytes> {
    let bytes = message.get(PREFIX..).filter(|bytes| bytes.len() >= BYTES_MIN)?;
    if bytes.len() <= HERE_MAX {
        return gzip(bytes);
    }
    gzip(&bytes[..SAMPLE])?;
    let bytes = message.slice(PREFIX..);
    tokio::task::spawn_blocking(move || gzip(&bytes)).await.ok()?
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(vec![0; PREFIX], Compression::fast());
    encoder.write_all(bytes).ok()?;
    let mut message = encoder.finish().ok()?;
    let length = message.len() - PREFIX;
    // Less than a tenth is not worth the reader's time.
    if length > bytes.len() / 10 * 9 {
        return None;
    }
    message[0] = 1;
    message[1..PREFIX].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn message(bytes: &[u8]) -> Bytes {
        [&[0; PREFIX], bytes].concat().into()
    }

    #[tokio::test]
    async fn what_becomes_smaller_is_compressed() {
        for size in [BYTES_MIN, HERE_MAX, 10 * HERE_MAX] {
            let text: Vec<u8> = b"a distance of 0.5, ".iter().copied().cycle().take(size).collect();
            let found = compressed(&message(&text)).await.expect("smaller");
            assert_eq!((found[0], &found[1..PREFIX]), (1, &(found.len() as u32 - 5).to_be_bytes()[..]));
            let mut read = Vec::new();
            GzDecoder::new(&found[PREFIX..]).read_to_end(&mut read).expect("gzip");
            assert_eq!(read, text);
        }
    }

    #[tokio::test]
    async fn what_does_not_is_left() {
        assert!(compressed(&message(&[0; BYTES_MIN - 1])).await.is_none(), "too little");
        // Bytes without order, as those of a photo.
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(10 * HERE_MAX)
        .collect();
        assert!(compressed(&message(&noise)).await.is_none());
        assert!(compressed(&message(&noise[..HERE_MAX])).await.is_none());
    }

    #[test]
    fn who_reads_gzip_says_so() {
        for (text, reads) in [("identity, deflate, gzip", true), ("gzip", true), ("identity", false)] {
            let headers = HeaderMap::from_iter([(
                tonic::codegen::http::HeaderName::from_static("grpc-accept-encoding"),
                tonic::codegen::http::HeaderValue::from_static(text),
            )]);
            assert_eq!(reads_gzip(&headers), reads, "{text}");
        }
    }
}
