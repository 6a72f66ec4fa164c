//! Heads, models and their files.

use super::receipts::keep;
use super::sealed::{encode, seal, unseal};
use super::{
    BUNDLES, Damage, HEADS, HeadRecord, MODELS, ModelRecord, Receipt, SIGNATURES, Store, StoreError,
    set_number,
};
use redb::{TableDefinition, TableHandle};

/// A change of the set of heads: everything in it becomes durable together.
#[derive(Clone, Debug, Default)]
pub struct HeadChange {
    /// Heads by key.
    pub heads: Vec<(String, HeadRecord)>,
    /// Models by their backbone's fingerprint.
    pub models: Vec<(String, ModelRecord)>,
    /// Files of heads by key, and of models.
    pub bundles: Vec<(String, Vec<u8>)>,
    /// The generation that the change leads to.
    pub generation: u64,
    /// Of the request that asked for it.
    pub receipt: Option<Receipt>,
}

impl Store {
    /// Writes a change of the set of heads.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn change_heads(&self, change: &HeadChange) -> Result<(), StoreError> {
        self.write(|transaction| {
            {
                let mut heads = transaction.open_table(HEADS)?;
                for (key, record) in &change.heads {
                    heads.insert(key.as_str(), encode(HEADS.name(), key, record).as_slice())?;
                }
                let mut models = transaction.open_table(MODELS)?;
                for (key, record) in &change.models {
                    models.insert(key.as_str(), encode(MODELS.name(), key, record).as_slice())?;
                }
                let mut bundles = transaction.open_table(BUNDLES)?;
                for (key, bytes) in &change.bundles {
                    bundles.insert(key.as_str(), seal(BUNDLES.name(), key, bytes.clone()).as_slice())?;
                }
            }
            set_number(transaction, "generation", change.generation)?;
            keep(transaction, change.receipt.as_slice(), self.config.receipts_max)
        })
    }

    /// Deletes signatures and files by key; records stay.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub fn drop_data(&self, keys: &[String]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for key in keys {
                let name = format!("{SIGNATURES}{key}");
                transaction.delete_table(TableDefinition::<&str, &[u8]>::new(&name))?;
                transaction.open_table(BUNDLES)?.remove(key.as_str())?;
            }
            Ok(())
        })
    }

    /// Every head's record that can be read, by key.
    ///
    /// # Errors
    /// When the database fails.
    pub fn heads(&self) -> Result<(Vec<(String, HeadRecord)>, Damage), StoreError> {
        self.all(HEADS)
    }

    /// Every model's record that can be read, by its backbone's fingerprint.
    ///
    /// # Errors
    /// When the database fails.
    pub fn models(&self) -> Result<(Vec<(String, ModelRecord)>, Damage), StoreError> {
        self.all(MODELS)
    }

    /// The file of a head or of a model.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it does not have its checksum.
    pub fn bundle(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|transaction| {
            let found = transaction.open_table(BUNDLES)?.get(key)?;
            found.map(|value| Ok(unseal(BUNDLES.name(), key, value.value())?.to_vec())).transpose()
        })
    }
}
