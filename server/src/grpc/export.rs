//! Items and images on their way out: whole where they fit in a message, in pieces where the caller puts them together.

use super::convert;
use super::outgoing::{Outgoing, PIECE_BYTES, readable};
use crate::catalogue::{Item, Snapshot};
use crate::error::Error;
use crate::store::{Moment, StoreError};
use lapel_heads::{PhotoLimits, photo_format};
use lapel_proto::v1;

/// An export of one moment.
pub(super) struct Export<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// Where images come from; `None` while the store is opened anew.
    pub(super) moment: Option<&'a Moment>,
    pub(super) limits: PhotoLimits,
    pub(super) no_images: bool,
    pub(super) in_pieces: bool,
    /// Whether images behind the first come, too.
    pub(super) all_images: bool,
}

/// An image on its way out.
struct Exported {
    number: u32,
    bytes: Vec<u8>,
    /// Why it is not here.
    error: Option<v1::ItemError>,
}

impl Export<'_> {
    /// Sends every item after the one with the id `after`.
    pub(super) fn send(
        &self,
        after: &str,
        outgoing: &Outgoing<v1::ExportItemsResponse>,
    ) -> Result<(), Error> {
        let items = self.snapshot.items();
        for item in items.after(after).filter_map(|slot| items.get(slot)) {
            let first = self.image(item, 0)?;
            let mut told = convert::item(self.snapshot, item);
            // An item with an image is one whose image is here.
            told.has_image = told.has_image && first.error.is_none();
            let signatures = self.signatures(item)?;
            let message = v1::ExportItemsResponse {
                item: Some(told),
                signatures,
                ..v1::ExportItemsResponse::default()
            };
            self.send_one(item, first, message, outgoing)?;
            let more = if self.all_images { item.pictures() } else { 0 };
            for number in 1..more {
                let next = self.image(item, number)?;
                self.send_one(item, next, v1::ExportItemsResponse::default(), outgoing)?;
            }
        }
        Ok(())
    }

    /// One of an item's images; none where it has none, or images were not asked for.
    fn image(&self, item: &Item, number: u32) -> Result<Exported, Error> {
        let (mut bytes, mut error) = (Vec::new(), None);
        if number < item.pictures() && !self.no_images {
            match self.moment.ok_or(StoreError::Reopening)?.image(&item.id, number) {
                Ok(stored) => bytes = stored,
                Err(damaged) if damaged.is_damage() => error = Some(convert::item_error(damaged.into())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Exported { number, bytes, error })
    }

    /// Sends an image with what else its first message says, and the pieces of it that do not come with that.
    fn send_one(
        &self,
        item: &Item,
        image: Exported,
        message: v1::ExportItemsResponse,
        outgoing: &Outgoing<v1::ExportItemsResponse>,
    ) -> Result<(), Error> {
        let Exported { number: picture, bytes: mut image, error: image_error } = image;
        if picture > 0 && image.is_empty() && image_error.is_none() {
            return Ok(());
        }
        let (image_bytes, content_type) = (image.len() as u64, content_type(&image, self.limits));
        let rest = image.split_off(if self.in_pieces { image.len().min(PIECE_BYTES) } else { image.len() });
        let content_type = content_type.unwrap_or_default();
        let message =
            v1::ExportItemsResponse { content_type, image, image_bytes, image_error, picture, ..message };
        let instead =
            || format!("export {:?} in pieces (in_pieces), or leave images out (no_images)", item.id);
        outgoing.send_blocking(readable(message, instead)?)?;
        for piece in rest.chunks(PIECE_BYTES) {
            let image = piece.to_vec();
            outgoing.send_blocking(v1::ExportItemsResponse { image, picture, ..Default::default() })?;
        }
        Ok(())
    }

    fn signatures(&self, item: &Item) -> Result<Vec<v1::Signature>, Error> {
        let rows = self.snapshot.active_signatures(&[&item.id])?.into_iter().flatten();
        let signatures = self.snapshot.columns().iter().zip(rows).filter_map(|(column, values)| {
            Some(v1::Signature { head: column.head().name().to_owned(), values: values?.into_owned() })
        });
        Ok(signatures.collect())
    }
}

/// The MIME type of an image; an error where it is none.
pub(super) fn content_type(image: &[u8], limits: PhotoLimits) -> Result<String, Error> {
    Ok(photo_format(image, limits)?.to_mime_type().to_owned())
}

/// Sends an image in pieces; the first says what the whole is. No byte of it is in memory twice while it waits to be read.
pub(super) async fn send_image(
    image: Vec<u8>,
    content_type: String,
    outgoing: &Outgoing<v1::StreamItemImageResponse>,
) -> Result<(), Error> {
    let mut told = Some((content_type, image.len() as u64));
    let pieces: Vec<Vec<u8>> = image.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    drop(image);
    for chunk in pieces {
        let (content_type, size_bytes) = told.take().unwrap_or_default();
        outgoing.send(v1::StreamItemImageResponse { chunk, content_type, size_bytes }).await?;
    }
    Ok(())
}
