//! What a query is like: one vector a head, and the labels seen in it.

use crate::catalogue::{Snapshot, seen};
use crate::error::{Choices, Error, Faults};
use lapel_heads::{Embedding, Head, Labels, PartsCase, Signature};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Field of the signatures beside a query's source.
pub const ALSO: &str = "query.also_signatures";

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
    let mut view = QueryView { labels: item.labels(), ..QueryView::default() };
    let signatures = snapshot.active_signatures(&[id])?;
    for (column, signature) in snapshot.columns().iter().zip(signatures.into_iter().flatten()) {
        if let Some(signature) = signature {
            view.add(column.head(), &signature, item.parts_case().map(crate::cases::of));
        }
    }
    Ok(view)
}

/// Signatures that a caller brings, checked, with the heads that they are of.
#[derive(Clone, Default)]
pub struct GivenSignatures(Vec<(Arc<Head>, Signature)>);

/// The view of signatures that the caller brings as the source of a query, and `also` beside them.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Faults`] with all bad vectors and all heads that are not active.
pub fn view_of_signatures(
    snapshot: &Snapshot,
    given: Vec<(String, Vec<f32>)>,
    also: Vec<(String, Vec<f32>)>,
) -> Result<QueryView, Error> {
    let (mut found, mut faults) = (GivenSignatures::default(), Faults::default());
    found.check(snapshot, ("query.signatures", given), |_| true, &mut faults);
    if found.0.is_empty() && faults.all().is_empty() {
        faults.refuse("query.signatures", "give the signature of at least one head");
    }
    found.check(snapshot, (ALSO, also), |_| true, &mut faults);
    faults.end().map(|()| QueryView::default().with(found))
}

/// Signatures that the caller brings beside a photo or an item: of external heads alone.
///
/// # Errors
/// As [`view_of_signatures`], also for heads that compute their signatures themselves.
pub fn signatures_beside(
    snapshot: &Snapshot,
    given: Vec<(String, Vec<f32>)>,
) -> Result<GivenSignatures, Error> {
    let (mut found, mut faults) = (GivenSignatures::default(), Faults::default());
    found.check(snapshot, (ALSO, given), |head| !head.has_network(), &mut faults);
    faults.end().map(|()| found)
}

impl GivenSignatures {
    /// Adds the signatures at a field of the request, of heads that may be given there, and notes the faults of the others.
    fn check(
        &mut self,
        snapshot: &Snapshot,
        (field, given): (&str, Vec<(String, Vec<f32>)>),
        may_be_given: impl Fn(&Head) -> bool,
        faults: &mut Faults,
    ) {
        for (name, values) in given {
            if faults.is_full() {
                break;
            }
            let field = format!("{field}[{name}]");
            let Some(column) = snapshot.column(&name) else {
                faults.unmet(field, unknown_head(snapshot, &name));
                continue;
            };
            let head = column.head();
            if self.0.iter().any(|(before, _)| before.name() == name) {
                faults.refuse(field, "this head is given twice");
                continue;
            }
            if !may_be_given(head) {
                let wanted =
                    "this head's signature is computed from the photo; an external head's is accepted here";
                faults.refuse(field, wanted);
                continue;
            }
            match Signature::of_dim(values, head.dim()) {
                Ok(signature) => self.0.push((head.clone(), signature)),
                Err(error) => faults.refuse(field, error.to_string()),
            }
        }
    }
}

pub(super) fn unknown_head(snapshot: &Snapshot, name: &str) -> Error {
    let valid = Choices::of(name, snapshot.columns().iter().map(|c| c.head().name()));
    Error::NotFound { what: "active head", name: name.into(), valid }
}

impl QueryView {
    /// The view in which signatures take the place of all that there is under their heads: vectors, and labels of their
    /// attributes, stored ones too, which belong to what the vector was of.
    #[must_use]
    pub fn with(mut self, given: GivenSignatures) -> Self {
        for (head, signature) in given.0 {
            for attribute in &head.manifest().attributes {
                self.labels.remove(&attribute.name);
            }
            self.add(&head, signature.values(), None);
        }
        self
    }

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
    use crate::testing::{external_head, network_head};
    use lapel_heads::{Attribute, Manifest};

    /// A head of three labels whose logits are the signature's numbers, with a threshold for all labels or none.
    fn head(threshold: Option<f32>) -> Arc<Head> {
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let mut manifest = Manifest::external("mood", 3, vec![Attribute { name: "mood".into(), labels }]);
        manifest.thresholds.extend(threshold.map(|threshold| ("mood".to_owned(), vec![threshold; 3])));
        network_head(manifest)
    }

    #[test]
    fn a_given_signature_takes_the_place_of_all_under_its_head() {
        let labels = [("style", "boho"), ("color", "red")];
        let view = QueryView {
            vectors: BTreeMap::from([("style".into(), vec![1.0, 0.0]), ("color".into(), vec![0.6, 0.8])]),
            labels: labels.map(|(attribute, label)| (attribute.to_owned(), label.to_owned())).into(),
        };
        let given = Signature::new(vec![0.0, 2.0]).expect("not zero");
        let view = view.with(GivenSignatures(vec![(external_head("style", 2, &["boho", "plain"]), given)]));
        assert_eq!(view.vectors["style"], [0.0, 1.0]);
        assert_eq!(view.vectors["color"], [0.6, 0.8]);
        assert!(!view.labels.contains_key("style"), "the label was that of another signature");
        assert_eq!(view.labels["color"], "red");
        let sure = Signature::new(vec![0.0, 1.0, -0.3]).expect("not zero");
        let view = view.with(GivenSignatures(vec![(head(None), sure)]));
        assert_eq!(view.labels["mood"], "b", "what the classifier sees");
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
