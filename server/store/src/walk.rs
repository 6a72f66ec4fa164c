//! A walk over a table that reads all that can be read.

use super::{StoreError, guarded};
use redb::ReadableTable;
use std::ops::ControlFlow;

/// What a walk over a table could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that do not have their checksum: table and key.
    pub records: Vec<(String, String)>,
    /// Records on pages that cannot be read, so that even their keys are unknown.
    pub lost: u64,
}

impl Damage {
    /// Whether everything was read.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.records.is_empty() && self.lost == 0
    }

    /// Adds what another walk could not read.
    pub fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.lost += other.lost;
    }
}

/// Hands every record of a table to `take`, which says whether it is sound, and whether the walk goes on. Pages that cannot be read are passed by:
/// the walk then comes from the other end.
pub(super) fn walk(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
    mut take: impl FnMut(&str, &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<Damage, StoreError> {
    let wanted = guarded(|| Ok(table.len()?)).unwrap_or(0);
    let (mut seen, mut damage) = (0, Damage::default());
    let mut visit = |key: &str, value: &[u8], damage: &mut Damage| {
        take(key, value).unwrap_or_else(|_| {
            damage.records.push((name.to_owned(), key.to_owned()));
            ControlFlow::Continue(())
        })
    };
    let mut last = String::new();
    let forward = guarded(|| {
        for entry in table.iter()? {
            let (key, value) = entry?;
            if visit(key.value(), value.value(), &mut damage).is_break() {
                return Ok(());
            }
            seen += 1;
            last.clear();
            last.push_str(key.value());
        }
        Ok(())
    });
    let Err(reason) = forward else { return Ok(damage) };
    tracing::error!(table = name, %reason, "pages are damaged; reading from the other end");
    let backward = guarded(|| {
        for entry in table.iter()?.rev() {
            let (key, value) = entry?;
            if seen > 0 && key.value() <= last.as_str() {
                break;
            }
            if visit(key.value(), value.value(), &mut damage).is_break() {
                break;
            }
            seen += 1;
        }
        Ok(())
    });
    if let Err(reason) = backward {
        tracing::error!(table = name, %reason, "pages are damaged");
    }
    damage.lost = u64::saturating_sub(wanted, seen).max(1);
    Ok(damage)
}
