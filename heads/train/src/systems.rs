//! The compared systems of section 7, on shared parts.
//!
//! A [`System`] turns pictures into [`Signatures`]. Fitted to the training part of a data set it becomes a
//! [`Searcher`], which answers a [`Change`] of labels with the query to search by. All of them search by
//! D = sum of w_v |q_v - r_v| over the parts of a signature (Eq. 4 and 6).

mod adde;
mod amnet;
mod changes;
mod classic;
mod fitted;
mod heads;
mod line_up;
mod manipulator;
mod rules;
mod signatures;

pub use adde::Adde;
pub use amnet::Amnet;
pub use classic::Classic;
pub use fitted::Prototypes;
pub use heads::{Edit, HeadSystem, SearchRules};
pub use line_up::{Group, LineUp, Member, Progresses, Trace, TrainedLineUp, lapel_recipes};
pub use rules::{Lesson, learn_rules};
pub use signatures::Signatures;

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

/// What is searched by.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// As a row of [`Signatures`].
    pub vector: Vec<f32>,
    /// One weight a part.
    pub weights: Vec<f32>,
    /// Whether the parts' distances are squared before they are added, which is not the paper's Eq. 4.
    pub squared: bool,
}

impl Query {
    /// A query by the paper's distance.
    #[must_use]
    pub fn new(vector: Vec<f32>, weights: Vec<f32>) -> Self {
        Self { vector, weights, squared: false }
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

    /// What is added to the distance of each picture, whatever the query; `None` for nothing.
    fn penalties(&self, _pictures: &Signatures) -> Option<Vec<f32>> {
        None
    }
}

#[cfg(test)]
mod tests;
