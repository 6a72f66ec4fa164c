//! What a JPEG's markers say about it, and whether its picture is all there. The decoder fills what is missing with grey and
//! reports nothing, so that a truncated upload would be described as if it were whole.

use crate::hash::sha256;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The end-of-image marker.
const END: [u8; 2] = [0xff, 0xd9];
/// Start of scan; the coded blocks follow.
const SCAN: u8 = 0xda;
/// Bytes to put in the place of what may be missing: blocks, ...
const BLOCKS: [u8; 64] = [0xb6; 64];
/// ... and a restart, which ends the blocks before it, with blocks behind.
const RESTART: [u8; 2] = [0xff, 0xd0];

/// What a walk over the markers found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    frame: Option<Frame>,
    pub(crate) end: End,
}

/// The marker of a frame and its bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    marker: u8,
    bits: u8,
}

/// How the bytes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the end marker.
    Marked,
    /// Among coded blocks; all of them may be there.
    Blocks,
    /// Anywhere else.
    Cut,
}

impl Markers {
    /// Walks over the segments of a JPEG.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (mut at, mut frame, mut in_scan) = (2, None, false);
        while let Some(&[first, marker]) = bytes.get(at..at + 2) {
            match (first, marker) {
                (0xff, 0xd9) => return Self { frame, end: End::Marked },
                // Stuffed zeros, restart markers and fill bytes.
                (0xff, 0x00 | 0x01 | 0xd0..=0xd7) => at += 2,
                (0xff, 0xff) => at += 1,
                // Scan data.
                (0..=0xfe, _) => match memchr::memchr(0xff, &bytes[at..]) {
                    Some(skipped) => at += skipped,
                    None => at = bytes.len(),
                },
                (0xff, _) => {
                    let Some(&[high, low, bits]) = bytes.get(at + 2..at + 5) else {
                        return Self { frame, end: End::Cut };
                    };
                    if is_frame(marker) {
                        frame = frame.or(Some(Frame { marker, bits }));
                    }
                    in_scan = marker == SCAN;
                    at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
                }
            }
        }
        let is_open = in_scan && at <= bytes.len();
        Self { frame, end: if is_open { End::Blocks } else { End::Cut } }
    }

    /// What about the JPEG is not decoded, as in "the JPEG is ..."; `None` where nothing is.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let Frame { marker, bits } = self.frame?;
        match marker {
            0xc3 => Some("lossless".to_owned()),
            0xc5..=0xc7 => Some("hierarchical".to_owned()),
            0xc9..=0xcf => Some("coded arithmetically".to_owned()),
            _ if bits != 8 => Some(format!("of {bits} bits a colour")),
            _ => None,
        }
    }
}

/// Whether a marker starts a frame: C0 to CF without those of Huffman tables, extensions and arithmetic conditioning.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// A JPEG that ends among its blocks ([`End::Blocks`]), with its end marker; `None` where blocks are missing.
///
/// What follows the last block changes nothing about a picture, and what stands in the place of missing blocks does. So it
/// is decoded twice, with other bytes behind it: blocks, and a restart with blocks. A picture that was cut off at the end
/// of a restart interval skips the first and reads the second.
pub(crate) fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    // Half of a marker, or of a stuffed byte.
    let len = bytes.iter().rposition(|byte| *byte != 0xff).map_or(0, |at| at + 1);
    let with = |tail: &[u8]| [&bytes[..len], tail, &END[..]].concat();
    let picture = picture_hash(&with(&BLOCKS[..]))?;
    let again = picture_hash(&with(&[&RESTART[..], &BLOCKS[..]].concat()))?;
    (again == picture).then(|| with(&[]))
}

/// The hash of a JPEG's pixels; `None` where a block cannot be decoded.
fn picture_hash(bytes: &[u8]) -> Option<[u8; 32]> {
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let pixels = JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().ok()?;
    Some(sha256(&pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Photo, PhotoError, PhotoLimits};

    fn decode(bytes: &[u8]) -> Result<Photo, PhotoError> {
        Photo::decode(bytes, PhotoLimits::default())
    }

    /// One of each kind: baseline, progressive with halved colours, with restarts, grey.
    fn kinds() -> [(&'static str, Vec<u8>); 4] {
        [
            ("baseline", lapel_render::to_jpeg(&lapel_render::render(1, 1).photo)),
            ("progressive", include_bytes!("../testdata/progressive-422.jpg").to_vec()),
            ("restarts", include_bytes!("../testdata/restart.jpg").to_vec()),
            ("grey", include_bytes!("../testdata/gray.jpg").to_vec()),
        ]
    }

    #[test]
    fn a_picture_that_lacks_its_end_marker_alone_is_whole() {
        for (kind, bytes) in kinds() {
            assert_eq!(bytes[bytes.len() - 2..], END, "{kind}");
            let whole = decode(&bytes).expect(kind);
            for missing in [1, 2] {
                let open = &bytes[..bytes.len() - missing];
                assert_eq!(Markers::read(open).end, End::Blocks, "{kind}");
                assert!(decode(open).expect(kind).rgb() == whole.rgb(), "{kind} without {missing} bytes");
            }
        }
    }

    #[test]
    fn a_picture_that_was_cut_off_is_refused() {
        for (kind, bytes) in kinds() {
            for share in [0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999] {
                let cut = &bytes[..(bytes.len() as f64 * share) as usize];
                let refused = decode(cut).expect_err(kind);
                assert!(matches!(refused, PhotoError::Damaged { .. }), "{kind} at {share}: {refused}");
            }
        }
        // At the end of restart intervals, before their markers and behind them.
        let bytes = include_bytes!("../testdata/restart.jpg");
        let is_restart = |at: &usize| bytes[*at] == 0xff && matches!(bytes[at + 1], 0xd0..=0xd7);
        let restarts: Vec<usize> = (0..bytes.len() - 1).filter(is_restart).collect();
        assert!(restarts.len() > 2, "{restarts:?}");
        for at in [restarts[0], restarts[restarts.len() / 2], restarts[restarts.len() - 1]] {
            for cut in [at, at + 1, at + 2] {
                assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn what_is_not_decoded_is_named() {
        let whole = lapel_render::to_jpeg(&lapel_render::render(1, 1).photo);
        let at = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        for (marker, bits, reason) in [
            (0xc3, 8, "the JPEG is lossless"),
            (0xc6, 8, "the JPEG is hierarchical"),
            (0xc9, 8, "the JPEG is coded arithmetically"),
            (0xca, 8, "the JPEG is coded arithmetically"),
            (0xc1, 12, "the JPEG is of 12 bits a colour"),
        ] {
            let mut changed = whole.clone();
            (changed[at + 1], changed[at + 4]) = (marker, bits);
            let refused = decode(&changed).expect_err(reason);
            assert!(matches!(refused, PhotoError::Unsupported { .. }), "{refused}");
            assert!(refused.to_string().starts_with(reason), "{refused}");
        }
    }
}
