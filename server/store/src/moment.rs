//! The images of one moment, read while writes go on.

use super::items::stored_image;
use super::{IMAGES, Store, StoreError, guarded, picture_key};
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
    /// The bytes of one of an item's images, by its number from 0 on.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they are not there or do not have their checksum.
    pub fn image(&self, id: &str, number: u32) -> Result<Vec<u8>, StoreError> {
        let found = guarded(|| stored_image(&self.0, id, number))?;
        let key = || if number == 0 { id.to_owned() } else { picture_key(id, number) };
        found.ok_or_else(|| StoreError::damaged(IMAGES.name(), &key()))
    }
}
