//! What a query is like: one vector a head, and the labels seen in it.

use crate::catalogue::{Snapshot, seen};
use crate::error::{Choices, Error, Faults};
use lapel_heads::{Embedding, Head, Labels, PartsCase, Signature};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A query before its edits: vectors by head and the labels it shows.
#[derive(Clone, Debug, Default)]
pub struct QueryView {
    /// Unit vectors by head.
    pub vectors: BTreeMap<String, Vec<f32>>,
    /// Labels by attribute: stored ones, or else those predicted with a probability that is not below the label's
    /// threshold.
    pub labels: Labels,
}

/// The view of an embedded image; `heads` are those it was embedded for, in their order.
#[must_use]
pub fn view_of_embedding(heads: &[Arc<Head>], embedding: &Embedding) -> QueryView {
    let mut view = QueryView::default();
    for (head, signature) in heads.iter().zip(&embedding.signatures) {
        if let Some(signature) = signature {
            view.add(head, signature.values(), Some(embedding.features.parts.case));
        }
    }
    view
}

/// The view of an item of the catalogue.
///
/// # Errors
/// [`Error::NotFound`].
pub fn view_of_item(snapshot: &Snapshot, id: &str) -> Result<QueryView, Error> {
    let item = snapshot.item(id)?;
    let mut view = QueryView { labels: item.record.labels.clone(), ..QueryView::default() };
    let signatures = snapshot.active_signatures(&[id])?;
    for (column, signature) in snapshot.columns().iter().zip(signatures.into_iter().flatten()) {
        if let Some(signature) = signature {
            view.add(column.head(), &signature, item.record.parts_case.map(crate::cases::of));
        }
    }
    Ok(view)
}

/// The view of signatures that the caller brings.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Faults`] with all bad vectors and all heads that are not active.
pub fn view_of_signatures(snapshot: &Snapshot, given: Vec<(String, Vec<f32>)>) -> Result<QueryView, Error> {
    let mut view = QueryView::default();
    let mut faults = Faults::default();
    for (head, values) in given {
        if faults.is_full() {
            break;
        }
        let field = format!("query.signatures[{head}]");
        let Some(column) = snapshot.column(&head) else {
            faults.unmet(field, unknown_head(snapshot, &head));
            continue;
        };
        if view.vectors.contains_key(&head) {
            faults.refuse(field, "this head is given twice");
            continue;
        }
        match Signature::of_dim(values, column.head().dim()) {
            Ok(signature) => view.add(column.head(), signature.values(), None),
            Err(error) => faults.refuse(field, error.to_string()),
        }
    }
    if view.vectors.is_empty() && faults.all().is_empty() {
        faults.refuse("query.signatures", "give the signature of at least one head");
    }
    faults.end().map(|()| view)
}

pub(super) fn unknown_head(snapshot: &Snapshot, name: &str) -> Error {
    let valid = Choices::of(name, snapshot.columns().iter().map(|c| c.head().name()));
    Error::NotFound { what: "active head", name: name.into(), valid }
}

impl QueryView {
    /// Adds a head's signature, and the labels it shows of attributes that are not labelled yet.
    fn add(&mut self, head: &Head, signature: &[f32], case: Option<PartsCase>) {
        for attribute in &head.manifest().attributes {
            if !self.labels.contains_key(&attribute.name)
                && let Some(seen) = seen(head, attribute, signature, case).filter(|seen| !seen.unsure)
            {
                self.labels.insert(attribute.name.clone(), seen.label);
            }
        }
        self.vectors.insert(head.name().to_owned(), signature.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network_head;
    use lapel_heads::{Attribute, Manifest};

    /// A head of three labels whose logits are the signature's numbers, with a threshold for all labels or none.
    fn head(threshold: Option<f32>) -> Arc<Head> {
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let mut manifest = Manifest::external("mood", 3, vec![Attribute { name: "mood".into(), labels }]);
        manifest.thresholds.extend(threshold.map(|threshold| ("mood".to_owned(), vec![threshold; 3])));
        network_head(manifest)
    }

    #[test]
    fn the_heads_own_threshold_decides_and_one_half_where_it_has_none() {
        // The second label has a probability of .60 or .36.
        let sure = Signature::new(vec![0.0, 1.0, -0.3]).expect("not zero");
        let doubtful = Signature::new(vec![0.5, 0.6, 0.5]).expect("not zero");
        for (threshold, knows_sure, knows_doubtful) in
            [(None, true, false), (Some(0.3), true, true), (Some(0.65), false, false)]
        {
            let head = head(threshold);
            for (signature, known) in [(&sure, knows_sure), (&doubtful, knows_doubtful)] {
                let seen = seen(&head, &head.manifest().attributes[0], signature.values(), None);
                assert_eq!(seen.expect("a classifier").unsure, !known, "{threshold:?} {signature:?}");
                let mut view = QueryView::default();
                view.add(&head, signature.values(), None);
                assert_eq!(view.labels.contains_key("mood"), known, "{threshold:?} {signature:?}");
            }
        }
    }
}
