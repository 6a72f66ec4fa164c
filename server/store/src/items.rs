//! Items, their images and their signatures.

use super::pictures::{keyed, picture_key};
use super::receipts::keep;
use super::sealed::{decode, encode, seal, unseal};
use super::{Damage, IMAGES, ITEMS, ItemRecord, PackedRecord, Receipt, SIGNATURES, Store, StoreError, walk};
use redb::{ReadOnlyTable, ReadTransaction, TableDefinition, TableHandle, WriteTransaction};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// One change of the catalogue.
#[derive(Clone, Debug)]
pub enum ItemChange {
    /// Adds or replaces an item with its images and its signatures by head key; all others are removed.
    Put {
        /// The item's id.
        id: String,
        /// Its record.
        record: ItemRecord,
        /// Its images' bytes, in their order.
        images: Vec<Vec<u8>>,
        /// Signatures by head key: of its only picture, or the mean of several.
        signatures: Vec<(String, Vec<f32>)>,
        /// By picture, where there are several: signatures by head key.
        pictures: Vec<Vec<(String, Vec<f32>)>>,
        /// How many pictures the item may have had, all of which are removed with the rest of it; `None` where it is new.
        replaces: Option<u32>,
    },
    /// Replaces the record of an item that is there and adds signatures; its images and its other signatures stay.
    Revise {
        /// The item's id.
        id: String,
        /// Its record, with the images that it has.
        record: ItemRecord,
        /// Signatures by head key; those of other heads stay.
        signatures: Vec<(String, Vec<f32>)>,
    },
    /// Removes an item.
    Delete {
        /// The item's id.
        id: String,
        /// How many pictures it may have had.
        pictures: u32,
    },
}

/// By head key: keys of items and of pictures, with signatures.
pub type SignaturesByHead = BTreeMap<String, Vec<(String, Vec<f32>)>>;

/// What a change does to a head's signature of its item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SignatureChange<'a> {
    /// It stays as it is.
    Stays,
    /// It becomes this; `None`: removed.
    Becomes(Option<&'a [f32]>),
}

/// A key with what becomes of its values; `None`: removed.
type Edit<'a, T> = (Cow<'a, str>, Option<&'a [T]>);

impl ItemChange {
    /// The item's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Put { id, .. } | Self::Revise { id, .. } | Self::Delete { id, .. } => id,
        }
    }

    /// What it does to the item's own signature of a head.
    #[must_use]
    pub fn signature(&self, head_key: &str) -> SignatureChange<'_> {
        let find =
            |signatures: &'_ [(String, Vec<f32>)]| signatures.iter().position(|(key, _)| key == head_key);
        match self {
            Self::Put { signatures, .. } => {
                SignatureChange::Becomes(find(signatures).map(|at| signatures[at].1.as_slice()))
            }
            Self::Revise { signatures, .. } => find(signatures)
                .map_or(SignatureChange::Stays, |at| SignatureChange::Becomes(Some(&signatures[at].1))),
            Self::Delete { .. } => SignatureChange::Becomes(None),
        }
    }

    /// Whether the item may have had signatures before.
    fn removes(&self) -> bool {
        match self {
            Self::Put { replaces, .. } => replaces.is_some(),
            Self::Revise { .. } => false,
            Self::Delete { .. } => true,
        }
    }

    /// What becomes of the item's record; `None`: removed.
    #[must_use]
    pub fn record(&self) -> Option<&ItemRecord> {
        match self {
            Self::Put { record, .. } | Self::Revise { record, .. } => Some(record),
            Self::Delete { .. } => None,
        }
    }

    /// How many pictures the item may have had before.
    fn had(&self) -> u32 {
        match self {
            Self::Put { replaces, .. } => replaces.unwrap_or(0),
            Self::Revise { .. } => 0,
            Self::Delete { pictures, .. } => *pictures,
        }
    }

    /// Whether it may change a signature of any head.
    fn changes_signatures(&self) -> bool {
        match self {
            Self::Put { signatures, pictures, .. } => {
                self.removes() || !signatures.is_empty() || !pictures.is_empty()
            }
            Self::Revise { signatures, .. } => !signatures.is_empty(),
            Self::Delete { .. } => true,
        }
    }

    /// Adds what it does to signatures of a head, as far as the disk is concerned: `None` in the place of values removes
    /// what may be there.
    fn edit_signatures<'a>(&'a self, head_key: &str, edits: &mut Vec<Edit<'a, f32>>) {
        let id = self.id();
        match self.signature(head_key) {
            SignatureChange::Becomes(Some(values)) => edits.push((Cow::Borrowed(id), Some(values))),
            SignatureChange::Becomes(None) if self.removes() => edits.push((Cow::Borrowed(id), None)),
            SignatureChange::Becomes(None) | SignatureChange::Stays => {}
        }
        let pictures: &[Vec<(String, Vec<f32>)>] = match self {
            Self::Put { pictures, .. } => pictures,
            Self::Revise { .. } | Self::Delete { .. } => &[],
        };
        let had = keyed(self.had());
        for number in 0..had.max(pictures.len() as u32) {
            let mut given = pictures.get(number as usize).into_iter().flatten();
            let values = given.find(|(key, _)| key == head_key).map(|(_, values)| values.as_slice());
            if values.is_some() || number < had {
                edits.push((Cow::Owned(picture_key(id, number)), values));
            }
        }
    }

    /// The same of its images.
    fn edit_images<'a>(&'a self, edits: &mut Vec<Edit<'a, u8>>) {
        let id = self.id();
        let images: &[Vec<u8>] = match self {
            Self::Put { images, .. } => images,
            Self::Revise { .. } | Self::Delete { .. } => &[],
        };
        // What a damaged item had under its own key is not known.
        let had = if self.removes() { self.had().max(1) } else { 0 };
        for number in 0..had.max(images.len() as u32) {
            let image = images.get(number as usize).map(Vec::as_slice);
            if image.is_some() || number < had {
                let key = if number == 0 { Cow::Borrowed(id) } else { Cow::Owned(picture_key(id, number)) };
                edits.push((key, image));
            }
        }
    }
}

/// A transaction that is written but not yet durable.
pub struct Prepared<'a> {
    store: &'a Store,
    changes: &'a [ItemChange],
    head_keys: &'a [String],
    receipts: &'a [Receipt],
}

impl Store {
    /// Changes to be written in one transaction; see `Prepared::commit`. `head_keys` are the heads whose
    /// signature tables exist.
    #[must_use]
    pub fn prepare<'a>(
        &'a self,
        changes: &'a [ItemChange],
        head_keys: &'a [String],
        receipts: &'a [Receipt],
    ) -> Prepared<'a> {
        Prepared { store: self, changes, head_keys, receipts }
    }

    /// Adds signatures of some heads, by head key, to items that are there and to their pictures, by their keys.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn add_signatures(&self, by_head: &SignaturesByHead) -> Result<(), StoreError> {
        self.write(|transaction| {
            for (head_key, signatures) in by_head {
                let name = format!("{SIGNATURES}{head_key}");
                let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(&name))?;
                for (id, values) in signatures {
                    table.insert(id.as_str(), seal(&name, id, to_bytes(values)).as_slice())?;
                }
            }
            Ok(())
        })
    }

    /// Calls `take` with every item that can be read, by id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read_items(&self, mut take: impl FnMut(&str, PackedRecord)) -> Result<Damage, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(ITEMS)?;
            walk(&table, ITEMS.name(), |id, sealed| {
                let found = PackedRecord::of_stored(unseal(ITEMS.name(), id, sealed)?);
                take(id, found.ok_or_else(|| StoreError::damaged(ITEMS.name(), id))?);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// The bytes of an item's image, the first of several.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they do not have their checksum.
    pub fn image(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.picture(id, 0)
    }

    /// The bytes of one of an item's images, by its number from 0 on.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they do not have their checksum.
    pub fn picture(&self, id: &str, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|transaction| stored_image(transaction, id, number))
    }

    /// Calls `use_signature` with every stored signature of a head that can be read, by its key: an item's id, or that of
    /// one of its pictures (`of_key`).
    ///
    /// # Errors
    /// When the database fails.
    pub fn signatures(
        &self,
        head_key: &str,
        dim: usize,
        mut use_signature: impl FnMut(&str, &[f32]),
    ) -> Result<Damage, StoreError> {
        let name = format!("{SIGNATURES}{head_key}");
        self.read(|transaction| {
            let Some(table) = signature_table(transaction, &name)? else { return Ok(Damage::default()) };
            let mut values = Vec::with_capacity(dim);
            walk(&table, &name, |id, sealed| {
                unseal_signature(&name, id, sealed, dim, &mut values)?;
                use_signature(id, &values);
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// A stored signature of a head by its key: an item's id, or that of one of its pictures (`picture_key`).
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it does not have its checksum, or when the database fails.
    pub fn signature(&self, head_key: &str, dim: usize, key: &str) -> Result<Option<Vec<f32>>, StoreError> {
        let name = format!("{SIGNATURES}{head_key}");
        self.read(|transaction| {
            let Some(table) = signature_table(transaction, &name)? else { return Ok(None) };
            let Some(sealed) = table.get(key)? else { return Ok(None) };
            let mut values = Vec::with_capacity(dim);
            unseal_signature(&name, key, sealed.value(), dim, &mut values)?;
            Ok(Some(values))
        })
    }

    /// Keys of the heads that have a signature table.
    ///
    /// # Errors
    /// When the database fails.
    pub fn signature_tables(&self) -> Result<Vec<String>, StoreError> {
        self.read(|transaction| {
            let names = transaction.list_tables()?.map(|t| t.name().to_owned());
            Ok(names.filter_map(|n| Some(n.strip_prefix(SIGNATURES)?.to_owned())).collect())
        })
    }

    /// Every record of a table that can be read, by key.
    pub(super) fn all<T: serde::de::DeserializeOwned>(
        &self,
        definition: super::Table,
    ) -> Result<(Vec<(String, T)>, Damage), StoreError> {
        let mut all = Vec::new();
        let damage = self.each(definition, |key, record| all.push((key.to_owned(), record)))?;
        Ok((all, damage))
    }

    fn each<T: serde::de::DeserializeOwned>(
        &self,
        definition: super::Table,
        mut take: impl FnMut(&str, T),
    ) -> Result<Damage, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(definition)?;
            walk(&table, definition.name(), |key, value| {
                take(key, decode(definition.name(), key, value)?);
                Ok(ControlFlow::Continue(()))
            })
        })
    }
}

impl Prepared<'_> {
    /// Writes everything and, when `is_agreed` says so, makes it durable; otherwise nothing is changed and the
    /// answer is false. So the memory's share of the work can go on beside the writing, and decide about it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn commit(&self, is_agreed: impl FnOnce() -> bool) -> Result<bool, StoreError> {
        let written = self.store.write(|transaction| {
            self.write(transaction)?;
            keep(transaction, self.receipts, self.store.config.receipts_max)?;
            if is_agreed() { Ok(()) } else { Err(Refusal(None)) }
        });
        match written {
            Ok(()) => Ok(true),
            Err(Refusal(None)) => Ok(false),
            Err(Refusal(Some(error))) => Err(error),
        }
    }

    fn write(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        self.write_records(transaction)?;
        self.write_images(transaction)?;
        // Updates of stock and prices have no signatures, and come by the thousand: no head looks at them.
        let signing: Vec<&ItemChange> =
            self.changes.iter().filter(|change| change.changes_signatures()).collect();
        for key in self.head_keys {
            write_signatures(transaction, key, &signing)?;
        }
        Ok(())
    }

    fn write_records(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut items = transaction.open_table(ITEMS)?;
        for change in self.changes {
            match change {
                ItemChange::Put { id, record, .. } | ItemChange::Revise { id, record, .. } => {
                    items.insert(id.as_str(), encode(ITEMS.name(), id, record).as_slice())?;
                }
                ItemChange::Delete { id, .. } => {
                    items.remove(id.as_str())?;
                }
            }
        }
        Ok(())
    }

    /// The table is opened only where an image changes.
    fn write_images(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut edits: Vec<Edit<'_, u8>> = Vec::new();
        self.changes.iter().for_each(|change| change.edit_images(&mut edits));
        if edits.is_empty() {
            return Ok(());
        }
        let mut images = transaction.open_table(IMAGES)?;
        for (key, image) in edits {
            let key: &str = &key;
            match image {
                Some(image) => {
                    images.insert(key, seal(IMAGES.name(), key, image.to_vec()).as_slice())?;
                }
                None => {
                    images.remove(key)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes what changes do to the signatures of a head. Its table is opened only where one changes.
fn write_signatures(
    transaction: &WriteTransaction,
    head_key: &str,
    changes: &[&ItemChange],
) -> Result<(), StoreError> {
    let mut edits: Vec<Edit<'_, f32>> = Vec::new();
    changes.iter().for_each(|change| change.edit_signatures(head_key, &mut edits));
    if edits.is_empty() {
        return Ok(());
    }
    let name = format!("{SIGNATURES}{head_key}");
    let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(&name))?;
    for (key, values) in edits {
        let key: &str = &key;
        match values {
            Some(values) => {
                table.insert(key, seal(&name, key, to_bytes(values)).as_slice())?;
            }
            None => {
                table.remove(key)?;
            }
        }
    }
    Ok(())
}

/// Why a transaction is given up: an error, or a no.
struct Refusal(Option<StoreError>);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(Some(error))
    }
}

/// The bytes of one of an item's images, as of a transaction.
pub(super) fn stored_image(
    transaction: &ReadTransaction,
    id: &str,
    number: u32,
) -> Result<Option<Vec<u8>>, StoreError> {
    // A picture is no item by itself.
    if crate::of_key(id).1.is_some() {
        return Ok(None);
    }
    let key = if number == 0 { Cow::Borrowed(id) } else { Cow::Owned(picture_key(id, number)) };
    let key: &str = &key;
    let found = transaction.open_table(IMAGES)?.get(key)?;
    found.map(|value| Ok(unseal(IMAGES.name(), key, value.value())?.to_vec())).transpose()
}

pub(super) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The table of a head's signatures; `None` where it has none yet.
pub(super) fn signature_table(
    transaction: &ReadTransaction,
    name: &str,
) -> Result<Option<ReadOnlyTable<&'static str, &'static [u8]>>, StoreError> {
    match transaction.open_table(TableDefinition::new(name)) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The numbers of a stored signature, to `values`.
pub(super) fn unseal_signature(
    table: &str,
    key: &str,
    sealed: &[u8],
    dim: usize,
    values: &mut Vec<f32>,
) -> Result<(), StoreError> {
    let bytes = unseal(table, key, sealed)?;
    values.clear();
    values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
    // Without an early end, so that several are looked at at once.
    let is_finite = values.iter().fold(true, |all, value| all & value.is_finite());
    if values.len() == dim && is_finite { Ok(()) } else { Err(StoreError::damaged(table, key)) }
}
