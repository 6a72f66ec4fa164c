//! The truth on disk: items, images, signatures, heads, bundles and profiles in one redb file.
//!
//! Everything else (columns, indexes, prototypes) is rebuilt from here. A write returns after its commit is
//! durable; a batch of changes is one transaction, so a crash leaves all of it or nothing.

mod records;

pub use records::{HeadRecord, ItemRecord, ProfileRecord, ProfileVersion, StoredState};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Version of the tables' layout.
const FORMAT: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const ITEMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("items");
const IMAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("images");
const HEADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("heads");
const BUNDLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bundles");
const PROFILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("profiles");
/// Prefix of the signature tables: one a head's bundle, so that dropping a head touches no other.
const SIGNATURES: &str = "signatures/";

/// What the disk did.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] redb::Error),
    /// The folder or file cannot be used.
    #[error("the catalogue's folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// Another process has the catalogue open.
    #[error("another server has the catalogue in {folder} open; stop it, or give another folder")]
    InUse {
        /// The catalogue's folder.
        folder: PathBuf,
    },
    /// Written by another version of the program.
    #[error("the catalogue has format {found}; this program reads format {FORMAT}")]
    Format {
        /// Format on disk.
        found: u64,
    },
    /// A record cannot be decoded.
    #[error("the record {key:?} of table {table} cannot be decoded")]
    Damaged {
        /// The table.
        table: &'static str,
        /// Its key.
        key: String,
    },
}

macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for StoreError {
            fn from(error: $kind) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

/// One change of the catalogue.
#[derive(Clone, Debug)]
pub enum ItemChange {
    /// Adds or replaces an item with its image and its signatures by head key; all others are removed.
    Put {
        /// The item's id.
        id: String,
        /// Its record.
        record: ItemRecord,
        /// Its image's bytes.
        image: Option<Vec<u8>>,
        /// Signatures by head key.
        signatures: Vec<(String, Vec<f32>)>,
        /// Whether the item may be there already; what it had then is removed.
        replaces: bool,
    },
    /// Adds signatures by head key to an item that is there.
    Sign {
        /// The item's id.
        id: String,
        /// Signatures by head key.
        signatures: Vec<(String, Vec<f32>)>,
    },
    /// Removes an item.
    Delete {
        /// The item's id.
        id: String,
    },
}

impl ItemChange {
    /// The signature that it gives the item for a head.
    #[must_use]
    pub fn signature(&self, head_key: &str) -> Option<&[f32]> {
        match self {
            Self::Put { signatures, .. } | Self::Sign { signatures, .. } => {
                signatures.iter().find(|(key, _)| key == head_key).map(|(_, values)| values.as_slice())
            }
            Self::Delete { .. } => None,
        }
    }
}

/// The database.
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the catalogue in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError`]; a folder that another server has open is an error.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        fs_err::create_dir_all(folder)?;
        let database = Database::create(folder.join("catalogue.redb")).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { folder: folder.to_owned() },
            other => other.into(),
        })?;
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|v| v.value());
            match found {
                None => {
                    meta.insert("format", FORMAT)?;
                }
                Some(FORMAT) => {}
                Some(found) => return Err(StoreError::Format { found }),
            }
            for table in [ITEMS, IMAGES, HEADS, BUNDLES, PROFILES] {
                transaction.open_table(table)?;
            }
        }
        transaction.commit()?;
        Ok(Self { database })
    }

    /// Applies changes in one durable transaction. `head_keys` are the heads whose signature tables exist.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn apply(&self, changes: &[ItemChange], head_keys: &[String]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut items = transaction.open_table(ITEMS)?;
            let mut images = transaction.open_table(IMAGES)?;
            for change in changes {
                match change {
                    ItemChange::Put { id, record, image, replaces, .. } => {
                        items.insert(id.as_str(), encode(record).as_slice())?;
                        match image {
                            Some(image) => images.insert(id.as_str(), image.as_slice())?,
                            None if *replaces => images.remove(id.as_str())?,
                            None => None,
                        };
                    }
                    ItemChange::Sign { .. } => {}
                    ItemChange::Delete { id } => {
                        items.remove(id.as_str())?;
                        images.remove(id.as_str())?;
                    }
                }
            }
            for key in head_keys {
                let name = format!("{SIGNATURES}{key}");
                let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(&name))?;
                for change in changes {
                    let (id, replaces) = match change {
                        ItemChange::Put { id, replaces, .. } => (id, *replaces),
                        ItemChange::Sign { id, .. } => (id, false),
                        ItemChange::Delete { id } => (id, true),
                    };
                    match change.signature(key) {
                        Some(values) => table.insert(id.as_str(), to_bytes(values).as_slice())?,
                        None if replaces => table.remove(id.as_str())?,
                        None => None,
                    };
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Adds signatures of one head to items that are there.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn add_signatures(
        &self,
        head_key: &str,
        signatures: &[(String, Vec<f32>)],
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let name = format!("{SIGNATURES}{head_key}");
            let mut table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(&name))?;
            for (id, values) in signatures {
                table.insert(id.as_str(), to_bytes(values).as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Every item's record, by id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a record that cannot be decoded.
    pub fn items(&self) -> Result<Vec<(String, ItemRecord)>, StoreError> {
        self.all(ITEMS, "items")
    }

    /// An item's image bytes.
    ///
    /// # Errors
    /// When the database fails.
    pub fn image(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.database.begin_read()?.open_table(IMAGES)?;
        Ok(table.get(id)?.map(|v| v.value().to_vec()))
    }

    /// Calls `use_signature` with every stored signature of a head, by id.
    ///
    /// # Errors
    /// When the database fails, or a signature has another length than `dim`.
    pub fn signatures(
        &self,
        head_key: &str,
        dim: usize,
        mut use_signature: impl FnMut(&str, Vec<f32>),
    ) -> Result<(), StoreError> {
        let name = format!("{SIGNATURES}{head_key}");
        let table = match self.database.begin_read()?.open_table(TableDefinition::<&str, &[u8]>::new(&name)) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in table.iter()? {
            let (id, bytes) = entry?;
            let values: Vec<f32> =
                bytes.value().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            if values.len() != dim || values.iter().any(|v| !v.is_finite()) {
                return Err(StoreError::Damaged { table: "signatures", key: id.value().into() });
            }
            use_signature(id.value(), values);
        }
        Ok(())
    }

    /// Writes a head's record, its bundle where given, and the generation that the change leads to.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn put_head(
        &self,
        key: &str,
        record: &HeadRecord,
        bundle: Option<&[u8]>,
        generation: u64,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            transaction.open_table(HEADS)?.insert(key, encode(record).as_slice())?;
            transaction.open_table(META)?.insert("generation", generation)?;
            if let Some(bundle) = bundle {
                transaction.open_table(BUNDLES)?.insert(key, bundle)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Deletes a head's signatures and bundle; its record stays.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn drop_head_data(&self, key: &str) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let name = format!("{SIGNATURES}{key}");
        transaction.delete_table(TableDefinition::<&str, &[u8]>::new(&name))?;
        transaction.open_table(BUNDLES)?.remove(key)?;
        transaction.commit()?;
        Ok(())
    }

    /// Every head's record, by key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a record that cannot be decoded.
    pub fn heads(&self) -> Result<Vec<(String, HeadRecord)>, StoreError> {
        self.all(HEADS, "heads")
    }

    /// A head's bundle.
    ///
    /// # Errors
    /// When the database fails.
    pub fn bundle(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.database.begin_read()?.open_table(BUNDLES)?;
        Ok(table.get(key)?.map(|v| v.value().to_vec()))
    }

    /// The last generation written.
    ///
    /// # Errors
    /// When the database fails.
    pub fn generation(&self) -> Result<u64, StoreError> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get("generation")?.map_or(0, |v| v.value()))
    }

    /// A profile.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn profile(&self, name: &str) -> Result<Option<ProfileRecord>, StoreError> {
        let table = self.database.begin_read()?.open_table(PROFILES)?;
        table.get(name)?.map(|v| decode("profiles", name, v.value())).transpose()
    }

    /// Up to `count` profiles whose names come after `after`.
    ///
    /// # Errors
    /// As [`Store::profile`].
    pub fn profiles(&self, after: &str, count: usize) -> Result<Vec<(String, ProfileRecord)>, StoreError> {
        use std::ops::Bound;
        let table = self.database.begin_read()?.open_table(PROFILES)?;
        let range = table.range::<&str>((Bound::Excluded(after), Bound::Unbounded))?;
        let entry = |entry: Result<
            (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>),
            redb::StorageError,
        >| {
            let (name, bytes) = entry?;
            Ok((name.value().to_owned(), decode("profiles", name.value(), bytes.value())?))
        };
        range.take(count).map(entry).collect()
    }

    /// Reads a profile, lets `change` decide, and writes what it returns (`None`: deletes), in one transaction.
    /// `change` is also told how many profiles there are.
    ///
    /// # Errors
    /// What `change` returns, or [`StoreError`]; nothing was changed then.
    pub fn change_profile<E: From<StoreError>>(
        &self,
        name: &str,
        change: impl FnOnce(Option<ProfileRecord>, u64) -> Result<Option<ProfileRecord>, E>,
    ) -> Result<(), E> {
        let transaction = self.database.begin_write().map_err(StoreError::from)?;
        {
            let mut table = transaction.open_table(PROFILES).map_err(StoreError::from)?;
            let count = table.len().map_err(StoreError::from)?;
            let stored = table.get(name).map_err(StoreError::from)?;
            let old = stored.map(|v| decode("profiles", name, v.value())).transpose()?;
            match change(old, count)? {
                Some(record) => table.insert(name, encode(&record).as_slice()),
                None => table.remove(name),
            }
            .map_err(StoreError::from)?;
        }
        transaction.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// Keys of the heads that have a signature table.
    ///
    /// # Errors
    /// When the database fails.
    pub fn signature_tables(&self) -> Result<Vec<String>, StoreError> {
        let transaction = self.database.begin_read()?;
        let names = transaction.list_tables()?.map(|t| t.name().to_owned());
        Ok(names.filter_map(|n| Some(n.strip_prefix(SIGNATURES)?.to_owned())).collect())
    }

    fn all<T: DeserializeOwned>(
        &self,
        definition: TableDefinition<'_, &str, &[u8]>,
        name: &'static str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let table = self.database.begin_read()?.open_table(definition)?;
        let mut all = Vec::new();
        for entry in table.iter()? {
            let (key, bytes) = entry?;
            all.push((key.value().to_owned(), decode(name, key.value(), bytes.value())?));
        }
        Ok(all)
    }
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    // Records are plain structs of strings, numbers and maps, which always encode.
    postcard::to_stdvec(record).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(table: &'static str, key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged { table, key: key.into() })
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_heads::Labels;

    fn put(id: &str, signature: f32) -> ItemChange {
        ItemChange::Put {
            id: id.into(),
            record: ItemRecord { labels: Labels::new(), has_image: true, parts_case: None, updated_ms: 5 },
            image: Some(vec![1, 2, 3]),
            signatures: vec![("h".into(), vec![signature, 0.0])],
            replaces: true,
        }
    }

    #[test]
    fn changes_survive_reopening_and_deletes_leave_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let keys = vec!["h".to_owned()];
        {
            let store = Store::open(folder.path()).expect("opens");
            store.apply(&[put("a", 1.0), put("b", 2.0)], &keys).expect("applied");
            store.apply(&[ItemChange::Delete { id: "a".into() }, put("b", 3.0)], &keys).expect("applied");
            assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse { .. })), "opened twice");
        }
        let store = Store::open(folder.path()).expect("opens");
        assert_eq!(store.items().expect("items").len(), 1);
        assert_eq!(store.image("a").expect("read"), None);
        assert_eq!(store.image("b").expect("read"), Some(vec![1, 2, 3]));
        let mut found = Vec::new();
        store.signatures("h", 2, |id, v| found.push((id.to_owned(), v))).expect("read");
        assert_eq!(found, [("b".to_owned(), vec![3.0, 0.0])]);
        assert!(matches!(store.signatures("h", 3, |_, _| {}), Err(StoreError::Damaged { .. })));
        store.drop_head_data("h").expect("dropped");
        assert!(store.signature_tables().expect("listed").is_empty());
    }
}
