//! The compared systems of section 7, on shared features.
//!
//! A [`System`] turns pictures into [`Signatures`]. Fitted to the training part of a data set it becomes a
//! [`Searcher`], which answers a [`Change`] of labels with the query to search by. All of them search by
//! D = sum of w_v |q_v - r_v| over the parts of a signature (Eq. 4 and 6); how much each part counts is no matter of the
//! system but of [`PartWeights`], which are all equal or learned, by the same learner for every system.

mod adde;
mod amnet;
mod changes;
mod classic;
mod fitted;
mod front;
mod heads;
mod line_up;
mod manipulator;
mod signatures;
mod weights;

pub use adde::Adde;
pub use amnet::Amnet;
pub use classic::Classic;
pub use fitted::Prototypes;
pub use front::{Exam, Front, FrontPoint, Lesson, Reached, learn_weights};
pub use heads::HeadSystem;
pub use line_up::{LineUp, Member, Progresses, Side, Trace, TrainedLineUp};
pub use signatures::Signatures;
pub use weights::{PartWeights, Search};

use crate::Prepared;
use lapel_heads::Attribute;

/// A change of one label that a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The attribute, as a number of the data set.
    pub attribute: usize,
    /// The label wanted.
    pub to: u16,
    /// The label that is given up, where the query names it.
    pub from: Option<u16>,
}

/// What is searched by, before its parts are weighted.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// As a row of [`Signatures`].
    pub vector: Vec<f32>,
    /// One a part.
    pub parts: Vec<QueryPart>,
    /// Whether the parts' distances are squared before they are added, as in the distance of one long vector.
    pub squared: bool,
}

/// What is known of one part of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryPart {
    /// Whether a change has moved it.
    pub changed: bool,
    /// How sure the system is of the labels that it sees there, 0 to 1.
    pub confidence: f32,
}

impl QueryPart {
    /// A part that the query was photographed with and that nothing is said of.
    pub const KEPT: Self = Self { changed: false, confidence: 1.0 };
}

impl Query {
    /// A query of one part, searched by the paper's distance.
    #[must_use]
    pub fn whole(vector: Vec<f32>, changed: bool) -> Self {
        Self { vector, parts: vec![QueryPart { changed, ..QueryPart::KEPT }], squared: false }
    }
}

/// Labelled signatures: a data set's training part as a system sees it.
pub struct Labelled<'a> {
    /// One row a picture.
    pub signatures: Signatures,
    /// Each picture's labels, as numbers.
    pub labels: &'a [Vec<Option<u16>>],
    /// The attributes and labels behind the numbers.
    pub attributes: &'a [Attribute],
}

/// A trained system.
pub trait System: Sync {
    /// What reports call it.
    fn name(&self) -> &str;

    /// Signatures of pictures.
    ///
    /// # Errors
    /// When features cannot be read or the model fails.
    fn signatures(&self, of: &Prepared) -> anyhow::Result<Signatures>;

    /// Learns the labels' representations from a data set's training part (section 4.6).
    ///
    /// # Errors
    /// When the model fails.
    fn fit<'a>(&'a self, training: Labelled<'a>) -> anyhow::Result<Box<dyn Searcher + 'a>>;
}

/// A system fitted to a data set.
pub trait Searcher: Sync {
    /// The query for a picture whose labels are changed; unchanged when `changes` is empty.
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query;
}

#[cfg(test)]
mod tests;
