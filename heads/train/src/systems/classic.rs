//! Classic: one classification network; a change of labels is answered by training pictures that carry them.
//!
//! The paper says that the query's attributes are recognised and the representation is changed by means of the
//! training set. Here: the labels that the network sees, with the change, name the training pictures that agree on
//! most special attributes; their mean signature is searched by.

use super::heads::signatures_of;
use super::signatures::normalise;
use super::{Change, Labelled, Query, Searcher, Signatures, System};
use crate::{Prepared, is_special};
use lapel_heads::Head;

/// The classic classification network.
pub struct Classic {
    head: Vec<Head>,
}

impl Classic {
    /// `head` tells all attributes apart from one signature.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head: vec![head] }
    }
}

impl System for Classic {
    fn name(&self) -> &str {
        "Classic"
    }

    fn signatures(&self, of: &Prepared) -> anyhow::Result<Signatures> {
        signatures_of(&self.head, of)
    }

    fn fit<'a>(&'a self, training: Labelled<'a>) -> anyhow::Result<Box<dyn Searcher + 'a>> {
        Ok(Box::new(Fitted { head: &self.head[0], training }))
    }
}

struct Fitted<'a> {
    head: &'a Head,
    training: Labelled<'a>,
}

impl Searcher for Fitted<'_> {
    fn query(&self, signature: &[f32], changes: &[Change]) -> Query {
        if changes.is_empty() {
            return Query::whole(signature.to_vec(), false);
        }
        let mut wanted = predicted(self.head, self.training.attributes, signature);
        for change in changes {
            wanted[change.attribute] = Some(change.to);
        }
        let attributes = self.training.attributes;
        let agreement = |labels: &Vec<Option<u16>>| {
            let special = (0..labels.len()).filter(|a| is_special(&attributes[*a].name));
            special.filter(|a| labels[*a].is_some() && labels[*a] == wanted[*a]).count()
        };
        let carry = |p: &usize| changes.iter().all(|c| self.training.labels[*p][c.attribute] == Some(c.to));
        let carriers: Vec<(usize, usize)> = (0..self.training.labels.len())
            .filter(carry)
            .map(|p| (p, agreement(&self.training.labels[p])))
            .collect();
        let most = carriers.iter().map(|(_, count)| *count).max();
        let mut vector = vec![0.0; signature.len()];
        for (picture, _) in carriers.iter().filter(|(_, count)| Some(*count) == most) {
            for (sum, value) in vector.iter_mut().zip(self.training.signatures.row(*picture)) {
                *sum += value;
            }
        }
        normalise(&mut vector);
        if most.is_none() {
            vector = signature.to_vec();
        }
        Query::whole(vector, true)
    }
}

/// The labels that a head sees in a signature, as numbers of a data set's attributes.
pub(super) fn predicted(
    head: &Head,
    attributes: &[lapel_heads::Attribute],
    signature: &[f32],
) -> Vec<Option<u16>> {
    let label = |attribute: &lapel_heads::Attribute| {
        let known = head.manifest().attribute(&attribute.name)?;
        let told = head.predict(known, signature)?;
        attribute.labels.iter().position(|l| *l == told.label).map(|at| at as u16)
    };
    attributes.iter().map(label).collect()
}
