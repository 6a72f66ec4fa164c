//! The images of one moment, read while writes go on.

use super::items::stored_image;
use super::{IMAGES, Store, StoreError, guarded};
use redb::{ReadTransaction, ReadableDatabase, TableHandle};

/// What the store held at a moment. A store that is opened anew does not wait for it, and ends it.
pub struct Moment(ReadTransaction);

impl Store {
    /// What the store holds now.
    ///
    /// # Errors
    /// [`StoreError::Reopening`], or when the database fails.
    pub fn moment(&self) -> Result<Moment, StoreError> {
        let database = self.database()?;
        let database = database.as_ref().ok_or(StoreError::Reopening)?;
        guarded(|| Ok(Moment(database.begin_read()?)))
    }
}

impl Moment {
    /// The image's bytes of an item that has one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they are not there or do not have their checksum.
    pub fn image(&self, id: &str) -> Result<Vec<u8>, StoreError> {
        let found = guarded(|| stored_image(&self.0, id))?;
        found.ok_or_else(|| StoreError::damaged(IMAGES.name(), id))
    }
}
