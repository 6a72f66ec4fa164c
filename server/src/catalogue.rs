//! The catalogue in memory: immutable snapshots that queries pin, rebuilt from the store at start.
//!
//! Items have slots; a slot's number is shared by all columns. Slots are kept in blocks of [`BLOCK`]; a write
//! copies the blocks it touches and publishes a new [`Snapshot`], so that a query never waits for a writer and
//! never sees half a change.

mod column;
mod item;
mod items;
mod prototypes;
mod seen;
mod snapshot;

pub use column::{Column, LoadingColumn, Statistics};
pub use item::Item;
pub use items::Items;
pub use lapel_search::{BLOCK, Precision, Slot};
pub use prototypes::LabelPrototype;
pub use seen::{applies, seen};
pub use snapshot::{Computing, NoItem, Snapshot, Unknown};
