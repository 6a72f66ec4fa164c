//! Decoding of photos and fitting them to the square canvas the backbone reads.

use crate::colour::to_srgb;
use crate::jpeg::{self, End, Markers};
use crate::parts::Silhouette;
use crate::view::Square;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::OnceLock;

/// Bounds on what [`Photo::decode`] accepts.
#[derive(Clone, Copy, Debug)]
pub struct PhotoLimits {
    /// Largest encoded size, in bytes.
    pub bytes_max: usize,
    /// Largest decoded size, in pixels (width times height).
    pub pixels_max: u64,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        Self { bytes_max: 10 << 20, pixels_max: 40_000_000 }
    }
}

/// Why bytes are not an acceptable photo.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// No bytes at all.
    #[error("the image is empty; send the bytes of a JPEG, PNG or WebP file")]
    Empty,
    /// The encoded file is over the limit.
    #[error("the image has {bytes} bytes; at most {bytes_max} are accepted")]
    TooManyBytes {
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted.
        bytes_max: usize,
    },
    /// The decoded image would be over the limit.
    #[error("the image is {width} x {height} pixels; at most {pixels_max} pixels in all are accepted")]
    TooManyPixels {
        /// Width in pixels, from the header.
        width: u32,
        /// Height in pixels, from the header.
        height: u32,
        /// Pixels accepted.
        pixels_max: u64,
    },
    /// Neither JPEG nor PNG nor WebP.
    #[error("the image is {found}; send JPEG, PNG or WebP")]
    Format {
        /// What the bytes look like.
        found: String,
    },
    /// A JPEG of a kind that is not decoded.
    #[error("the JPEG is {what}; send a baseline or progressive one of 8 bits a colour")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// Truncated or damaged.
    #[error("the image cannot be decoded: {reason}")]
    Damaged {
        /// The decoder's words.
        reason: String,
    },
}

/// A decoded photo, 8-bit sRGB, row by row, upright (EXIF orientation applied, colours brought to sRGB by the picture's
/// own profile, transparency on white).
#[derive(Clone, Debug)]
pub struct Photo {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Photo {
    /// Wraps raw pixels; `None` when `rgb` is not `width * height * 3` long or a side is zero.
    #[must_use]
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let wanted = (width as usize).checked_mul(height as usize)?.checked_mul(3)?;
        (width > 0 && height > 0 && rgb.len() == wanted).then_some(Self { width, height, rgb })
    }

    /// Decodes JPEG, PNG or WebP bytes within `limits`; the header is checked before any pixel is. A JPEG that lacks its end
    /// marker is accepted where all of its blocks are there; it is decoded three times.
    ///
    /// # Errors
    /// [`PhotoError`], one variant a cause.
    pub fn decode(bytes: &[u8], limits: PhotoLimits) -> Result<Self, PhotoError> {
        let (opened, end) = decoder(bytes, limits)?;
        if end == End::Marked {
            return Self::read(opened);
        }
        let completed = jpeg::completed(bytes).ok_or_else(cut_short)?;
        // The limits were kept by what came.
        let (opened, _) = decoder(&completed, PhotoLimits { bytes_max: completed.len(), ..limits })?;
        Self::read(opened)
    }

    fn read(mut decoder: impl ImageDecoder) -> Result<Self, PhotoError> {
        let damaged = |e: image::ImageError| PhotoError::Damaged { reason: e.to_string() };
        let orientation = decoder.orientation().map_err(damaged)?;
        let profile = decoder.icc_profile().ok().flatten();
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        decoded.apply_orientation(orientation);
        let (width, height) = (decoded.width(), decoded.height());
        let mut rgb = flatten(decoded);
        if let Some(profile) = profile {
            to_srgb(&mut rgb, &profile);
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, `[height, width, 3]`.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Scales the photo into a square of `side` pixels, aspect ratio kept, edge pixels repeated outside.
    ///
    /// Repeating the edge continues the background, so that no artificial frame is seen by the network.
    #[must_use]
    pub fn fit(&self, side: usize) -> Canvas {
        let (width, height) = self.within(side);
        let small = self.resized(None, (width, height));
        let content = Content { left: (side - width) / 2, top: (side - height) / 2, width, height };
        Canvas::new(side, content, spread(&small, content, side))
    }

    /// Width and height when the longer side has `side` pixels.
    fn within(&self, side: usize) -> (usize, usize) {
        let longest = self.width.max(self.height) as f32;
        let scaled = |pixels: u32| ((pixels as f32 * side as f32 / longest).round() as usize).clamp(1, side);
        (scaled(self.width), scaled(self.height))
    }

    /// The photo itself, or a smaller copy whose longer side has `side` pixels.
    #[must_use]
    pub fn at_most(&self, side: usize) -> Self {
        if self.width.max(self.height) as usize <= side {
            return self.clone();
        }
        let (width, height) = self.within(side);
        Self { width: width as u32, height: height as u32, rgb: self.resized(None, (width, height)) }
    }

    /// A square of the photo, scaled to `side` pixels; outside of the photo its edge pixels are repeated.
    fn square(&self, square: Square, side: usize) -> Vec<u8> {
        let along = |from: f32, most: u32| {
            let most = most as f32;
            // At least a pixel is inside, wherever the square lies.
            let first = from.clamp(0.0, most - 1.0);
            (first, (from + square.side).clamp(first + 1.0, most))
        };
        let ((x0, x1), (y0, y1)) = (along(square.x, self.width), along(square.y, self.height));
        let scale = side as f32 / square.side.max(1.0);
        let place = |offset: f32, len: f32| {
            let first = ((offset * scale).round() as usize).min(side - 1);
            (first, ((len * scale).round() as usize).clamp(1, side - first))
        };
        let ((left, width), (top, height)) = (place(x0 - square.x, x1 - x0), place(y0 - square.y, y1 - y0));
        let part = [x0, y0, x1 - x0, y1 - y0].map(f64::from);
        let small = self.resized(Some(part), (width, height));
        spread(&small, Content { left, top, width, height }, side)
    }

    /// The photo, or a part of it (left, top, width, height), scaled.
    fn resized(&self, part: Option<[f64; 4]>, (width, height): (usize, usize)) -> Vec<u8> {
        let (width, height) = (width as u32, height as u32);
        if part.is_none() && (width, height) == (self.width, self.height) {
            return self.rgb.clone();
        }
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(fast_image_resize::FilterType::Bilinear));
        let options = match part {
            Some([left, top, width, height]) => options.crop(left, top, width, height),
            None => options,
        };
        let mut rgb = vec![0; width as usize * height as usize * 3];
        // Both buffers are sized by construction, so that no step can fail; a blank canvas would be the outcome. With the type
        // of pixels named here, that for other types is not compiled.
        let source = TypedImageRef::<U8x3>::from_buffer(self.width, self.height, &self.rgb);
        let target = TypedImage::<U8x3>::from_buffer(width, height, &mut rgb);
        if let (Ok(source), Ok(mut target)) = (source, target) {
            let _ = Resizer::new().resize_typed(&source, &mut target, &options);
        }
        rgb
    }
}

/// Puts a picture into a square at `content` and repeats its edge outside.
fn spread(picture: &[u8], content: Content, side: usize) -> Vec<u8> {
    let Content { left, top, width, height } = content;
    let mut rgb = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        let row = y.saturating_sub(top).min(height - 1);
        for x in 0..side {
            let at = (row * width + x.saturating_sub(left).min(width - 1)) * 3;
            rgb.extend_from_slice(&picture[at..at + 3]);
        }
    }
    rgb
}

/// Pixels that a photo will have once it is decoded, by its header, which is checked as [`Photo::decode`] does.
///
/// # Errors
/// As [`Photo::decode`], without what only its pixels tell.
pub fn photo_pixels(bytes: &[u8], limits: PhotoLimits) -> Result<u64, PhotoError> {
    let (width, height) = decoder(bytes, limits)?.0.dimensions();
    Ok(u64::from(width) * u64::from(height))
}

/// Bytes that a PNG may have beside its pixels, which are bounded by themselves: a profile of colours is compressed there, up to
/// a thousandfold. One that takes more is passed over; texts that do are refused.
const PNG_BESIDE_MAX: u64 = 32 << 20;

/// The decoder of a photo whose header keeps the limits, and how a JPEG ends; others tell of their own ends.
fn decoder(bytes: &[u8], limits: PhotoLimits) -> Result<(impl ImageDecoder, End), PhotoError> {
    let format = photo_format(bytes, limits)?;
    let end = if format == ImageFormat::Jpeg { jpeg_end(bytes)? } else { End::Marked };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits_beside = Limits::no_limits();
    if format == ImageFormat::Png {
        limits_beside.max_alloc = Some(PNG_BESIDE_MAX);
    }
    reader.limits(limits_beside);
    let decoder = reader.into_decoder().map_err(|e| PhotoError::Damaged { reason: e.to_string() })?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels_max || pixels == 0 {
        return Err(PhotoError::TooManyPixels { width, height, pixels_max: limits.pixels_max });
    }
    Ok((decoder, end))
}

/// How a JPEG ends, of a kind that is decoded and not cut off before its blocks.
fn jpeg_end(bytes: &[u8]) -> Result<End, PhotoError> {
    let markers = Markers::read(bytes);
    match (markers.unsupported(), markers.end) {
        (Some(what), _) => Err(PhotoError::Unsupported { what }),
        (None, End::Cut) => Err(cut_short()),
        (None, end @ (End::Marked | End::Blocks)) => Ok(end),
    }
}

fn cut_short() -> PhotoError {
    PhotoError::Damaged { reason: "the JPEG is cut short".into() }
}

/// The image format of `bytes`, found from their first bytes.
///
/// # Errors
/// [`PhotoError`] when empty, too large or none of JPEG, PNG, WebP.
pub fn photo_format(bytes: &[u8], limits: PhotoLimits) -> Result<ImageFormat, PhotoError> {
    if bytes.is_empty() {
        return Err(PhotoError::Empty);
    }
    if bytes.len() > limits.bytes_max {
        return Err(PhotoError::TooManyBytes { bytes: bytes.len(), bytes_max: limits.bytes_max });
    }
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => Ok(format),
        Ok(other) => Err(PhotoError::Format { found: format!("{other:?}").to_uppercase() }),
        Err(_) => Err(PhotoError::Format { found: "of an unknown format".into() }),
    }
}

/// A photo fitted into a square, 8-bit RGB, row by row.
#[derive(Clone, Debug)]
pub struct Canvas {
    side: usize,
    content: Content,
    rgb: Vec<u8>,
    /// The photo itself, for closer looks; without it they are taken from the canvas.
    detail: Option<Photo>,
    silhouette: OnceLock<Silhouette>,
}

/// Where on the canvas the photo itself lies, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Canvas {
    /// Wraps pixels `[side, side, 3]` of which `content` is the photo.
    #[must_use]
    pub fn new(side: usize, content: Content, rgb: Vec<u8>) -> Self {
        Self { side, content, rgb, detail: None, silhouette: OnceLock::new() }
    }

    /// The same pixels, of which nothing is known yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self { detail: self.detail.clone(), ..Self::new(self.side, self.content, self.rgb.clone()) }
    }

    /// The canvas of `photo`, which keeps it at up to `side` pixels for closer looks.
    #[must_use]
    pub fn with_detail(self, photo: &Photo, side: usize) -> Self {
        Self { detail: Some(photo.at_most(side)), ..self }
    }

    /// A square of the photo, in pixels of [`Canvas::content`], scaled to `[side, side, 3]`.
    #[must_use]
    pub fn look(&self, square: Square, side: usize) -> Vec<u8> {
        let Content { left, top, width, .. } = self.content;
        match &self.detail {
            Some(photo) => {
                let scale = photo.width as f32 / width as f32;
                let Square { x, y, side: wide } = square;
                photo.square(Square { x: x * scale, y: y * scale, side: wide * scale }, side)
            }
            None => {
                // The canvas' own edges repeat the photo's.
                let whole =
                    Photo { width: self.side as u32, height: self.side as u32, rgb: self.rgb.clone() };
                let Square { x, y, side: wide } = square;
                whole.square(Square { x: x + left as f32, y: y + top as f32, side: wide }, side)
            }
        }
    }

    /// The same canvas with a silhouette that was found elsewhere.
    #[must_use]
    pub(crate) fn with_silhouette(self, silhouette: Silhouette) -> Self {
        Self { silhouette: OnceLock::from(silhouette), ..self }
    }

    /// The garment's silhouette; where none was given, by colours, found on the first call.
    #[must_use]
    pub fn silhouette(&self) -> &Silhouette {
        self.silhouette.get_or_init(|| Silhouette::of(self))
    }

    /// Side in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        self.side
    }

    /// The part covered by the photo; the rest repeats its edge.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// The pixels, `[side, side, 3]`.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

fn flatten(image: DynamicImage) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    let rgba = image.into_rgba8();
    let over_white = |c: u8, a: u8| ((u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a))) / 255) as u8;
    rgba.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect()
}

#[cfg(test)]
mod tests;
