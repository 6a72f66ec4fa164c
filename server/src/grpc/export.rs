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
            let (message, rest) = self.message(item)?;
            outgoing.send_blocking(message)?;
            for piece in rest.chunks(PIECE_BYTES) {
                let image = piece.to_vec();
                outgoing.send_blocking(v1::ExportItemsResponse { image, ..Default::default() })?;
            }
        }
        Ok(())
    }

    /// The message of an item, and what does not come with it of its image.
    fn message(&self, item: &Item) -> Result<(v1::ExportItemsResponse, Vec<u8>), Error> {
        let mut told = convert::item(self.snapshot, item);
        let (mut image, mut image_error) = (Vec::new(), None);
        if told.has_image && !self.no_images {
            match self.moment.ok_or(StoreError::Reopening)?.image(&item.id) {
                Ok(stored) => image = stored,
                Err(damaged) if damaged.is_damage() => {
                    // An item with an image is one whose image is here.
                    told.has_image = false;
                    image_error = Some(convert::item_error(damaged.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (image_bytes, content_type) = (image.len() as u64, content_type(&image, self.limits));
        let rest = image.split_off(if self.in_pieces { image.len().min(PIECE_BYTES) } else { image.len() });
        let message = v1::ExportItemsResponse {
            item: Some(told),
            content_type: content_type.unwrap_or_default(),
            image,
            signatures: self.signatures(item)?,
            image_bytes,
            image_error,
        };
        let instead =
            || format!("export {:?} in pieces (in_pieces), or leave images out (no_images)", item.id);
        Ok((readable(message, instead)?, rest))
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
