//! What a search needs of signatures, whoever keeps them.
//!
//! [`Signatures`] is the boundary behind which another engine can stand: items are named by their ids and columns by
//! their keys, queries and answers are plain data, and every call may block and may fail. Records of items, prototypes,
//! weights and explanations are on this side of it.

use crate::{Filter, Tuning};
use lapel_values::ItemFacts;
use std::borrow::Cow;
use std::sync::Arc;

/// One column in play.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTerm {
    /// The column's key.
    pub column: Arc<str>,
    /// Unit vector of the column's dimension.
    pub vector: Vec<f32>,
    /// Above 0.
    pub weight: f64,
    /// The distance by which an item without a signature is scored.
    pub expected: f32,
}

/// A search for the least sum of weight times Euclidean distance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignatureQuery {
    /// At least one; heaviest first, so that a scan can give an item up early.
    pub terms: Vec<SearchTerm>,
    /// The items that may be returned.
    pub filter: Filter,
    /// What of an item with several pictures is compared.
    pub pictures: PictureMode,
    /// Ids to leave out; unknown ones are passed over.
    pub exclude: Vec<String>,
    /// Hits wanted, at least 1.
    pub k: usize,
    /// The distance that a hit must not exceed, finite and at least 0; `None`: hits may be any distance away.
    pub distance_max: Option<f64>,
    /// The plan to run, where it can; the cheapest otherwise.
    pub plan: Option<PlanKind>,
    /// Whether hits tell their terms.
    pub with_terms: bool,
}

/// What of an item with several pictures a search compares. An item with one is the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PictureMode {
    /// The picture that is nearest to the query, by the sum of all terms, or the mean of them, where that is nearer.
    #[default]
    Nearest,
    /// The mean of its pictures.
    Mean,
}

/// The plans there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Every item that passes is scored by the exact formula.
    ExactScan,
    /// Every item that passes is estimated from its codes; the best estimates are scored exactly.
    CodeScan,
    /// One column's index gives candidates, which are scored exactly.
    Hnsw,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan that ran.
    pub kind: PlanKind,
    /// Items looked at; of those that are searched picture by picture, each picture.
    pub scanned: u64,
    /// Of these, those rescored exactly after a coarser step.
    pub rescored: u64,
    /// Of these, those scored by the rule for missing signatures.
    pub missing: u64,
}

/// An item that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct SignatureHit {
    /// Its id.
    pub id: Arc<str>,
    /// Sum of weight times distance, exact whichever plan ran.
    pub distance: f64,
    /// The number of the picture that was nearest, from 0 on; 0 where the item was not searched picture by picture.
    pub picture: u32,
    /// By term of the query, where they were asked for; empty otherwise.
    pub terms: Vec<TermDistance>,
}

/// One term of a hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermDistance {
    /// Distance of the signatures, or the expected one.
    pub distance: f32,
    /// Whether the item lacks a signature.
    pub missing: bool,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct SignatureAnswer {
    /// Best first; equal distances by id.
    pub hits: Vec<SignatureHit>,
    /// How they were found.
    pub plan: Plan,
    /// Items that pass the filter, those left out by name among them.
    pub items_passing: u64,
}

/// Asked by a search at every tile of blocks: whether nobody waits for its answers any more. Once it is so, it stays so.
pub type IsAbandoned<'a> = &'a (dyn Fn() -> bool + Sync);

/// What a search may spend.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// How local columns choose and run their plans; another engine plans by itself.
    pub tuning: &'a Tuning,
    /// Threads that may be used, one or two.
    pub threads: usize,
    /// A search that is abandoned ends soon, and its answers mean nothing.
    pub is_abandoned: IsAbandoned<'a>,
}

/// A change of one item.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The item.
    pub id: &'a Arc<str>,
    /// Its labels and fields before this change; `None` where it was not there.
    pub before: Option<ItemFacts<'a>>,
    /// Its labels and fields after it; `None` where it goes.
    pub after: Option<ItemFacts<'a>>,
    /// What becomes of its signatures.
    pub signatures: NewSignatures<'a>,
    /// By picture, in their order, signatures by column key: of an item that has several after this change, whose
    /// `signatures`, of their mean, are [`NewSignatures::Only`]. What a picture lacks is taken from the mean.
    pub pictures: &'a [Vec<(String, Vec<f32>)>],
}

/// Signatures of a change, by column key; those of columns that are not there are passed over.
#[derive(Clone, Copy, Debug)]
pub enum NewSignatures<'a> {
    /// The item has these and no other.
    Only(&'a [(String, Vec<f32>)]),
    /// The item has these and, in the other columns, what it had.
    Also(&'a [(String, Vec<f32>)]),
}

/// What changes met in one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Replaced {
    /// The column's key.
    pub column: Arc<str>,
    /// By change: the signature that the item had before it; `None`, too, where neither that nor the labels change.
    pub signatures: Vec<Option<Vec<f32>>>,
}

/// Why an engine cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignaturesError {
    /// A query or a look-up names a column that is not there.
    #[error("there is no column {0:?}")]
    UnknownColumn(String),
    /// A vector has another length than the column's signatures.
    #[error("a vector of {found} numbers for column {column:?}, whose signatures have {wanted}")]
    Dimension {
        /// The column's key.
        column: String,
        /// Numbers of the vector.
        found: usize,
        /// Numbers of the column's signatures.
        wanted: usize,
    },
    /// A query has no term.
    #[error("a query needs at least one term")]
    NoTerms,
    /// Signatures could not be read, and are being read from elsewhere: the same may be asked again soon.
    #[error("signatures could not be read")]
    Unreadable,
}

/// Signatures by id and column key, as they were asked for; `None` where there is none.
pub type ItemRows<'a> = Vec<Vec<Option<Cow<'a, [f32]>>>>;

/// Signatures of items under columns: searched, read and changed.
pub trait Signatures: Send + Sync {
    /// Answers queries, in their order; they share the work where they can.
    fn search(
        &self,
        queries: &[SignatureQuery],
        budget: &Budget<'_>,
    ) -> Vec<Result<SignatureAnswer, SignaturesError>>;

    /// The signatures of `ids` under `columns`: one row an id, in its columns' order.
    ///
    /// # Errors
    /// [`SignaturesError::UnknownColumn`], [`SignaturesError::Unreadable`].
    fn rows(&self, ids: &[&str], columns: &[&str]) -> Result<ItemRows<'_>, SignaturesError>;

    /// Applies changes in their order, all or none, and returns what each column held before them.
    ///
    /// # Errors
    /// [`SignaturesError::Dimension`], [`SignaturesError::Unreadable`].
    fn apply(&mut self, changes: &[Change<'_>]) -> Result<Vec<Replaced>, SignaturesError>;
}
