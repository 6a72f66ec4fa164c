//! Labels that items carry and that the heads of their attributes do not know, for the statistics.

use crate::catalogue::{Snapshot, Unknown};
use lapel_proto::v1;
use prost::Message;

/// Labels of one attribute that are told.
const TOLD_MAX: usize = 20;
/// Bytes of all that is told: the pages of labels leave room for it in a message.
const TOLD_BYTES: usize = 256 << 10;

/// By attribute, as many as there is room for.
pub(super) fn unknown_labels(snapshot: &Snapshot) -> Vec<v1::UnknownLabels> {
    within(snapshot.unknown_labels().map(told), TOLD_BYTES)
}

fn told(unknown: Unknown<'_>) -> v1::UnknownLabels {
    let Unknown { attribute, column, labels } = unknown;
    let labels_total = labels.len() as u64;
    let told = labels.into_iter().take(TOLD_MAX);
    v1::UnknownLabels {
        attribute: attribute.to_owned(),
        head: column.head().name().to_owned(),
        labels: told.map(|(label, items)| v1::UnknownLabel { label: label.to_owned(), items }).collect(),
        labels_total,
    }
}

/// The first of them, of so many bytes together at most.
fn within(all: impl Iterator<Item = v1::UnknownLabels>, mut room: usize) -> Vec<v1::UnknownLabels> {
    let fits = |one: &v1::UnknownLabels| {
        let bytes = one.encoded_len();
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    all.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Column, Precision};
    use crate::store::{ItemChange, ItemRecord};
    use crate::testing::{external_head, network_head};
    use lapel_heads::{Attribute, Labels, Manifest};

    fn labelled(snapshot: &mut Snapshot, id: String, attribute: &str, label: &str) {
        let record = ItemRecord {
            labels: Labels::from([(attribute.to_owned(), label.to_owned())]),
            fields: lapel_values::Fields::new(),
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        snapshot.apply(&[ItemChange::Put {
            id,
            record,
            images: Vec::new(),
            signatures: Vec::new(),
            pictures: Vec::new(),
            replaces: None,
        }]);
    }

    /// A catalogue whose head of colors has a network, and whose head of moods has none.
    fn snapshot() -> Snapshot {
        let labels = ["red", "blue"].map(str::to_owned).to_vec();
        let manifest = Manifest::external("color", 2, vec![Attribute { name: "color".into(), labels }]);
        let mut snapshot = Snapshot::default();
        for (key, head) in [("color", network_head(manifest)), ("mood", external_head("mood", 2, &["calm"]))]
        {
            snapshot.add_reserve(Column::new(key, head, Precision::F32));
            snapshot.activate(key);
        }
        snapshot
    }

    #[test]
    fn labels_that_no_head_knows_are_told_with_their_items() {
        let mut snapshot = snapshot();
        for (n, (attribute, label)) in [
            ("color", "red"),
            ("color", "rad"),
            ("color", "bleu"),
            ("color", "rad"),
            ("mood", "wild"),
            ("fit", "x"),
        ]
        .into_iter()
        .enumerate()
        {
            labelled(&mut snapshot, n.to_string(), attribute, label);
        }
        let label = |label: &str, items| v1::UnknownLabel { label: label.to_owned(), items };
        let wanted = v1::UnknownLabels {
            attribute: "color".into(),
            head: "color".into(),
            labels: vec![label("rad", 2), label("bleu", 1)],
            labels_total: 2,
        };
        assert_eq!(unknown_labels(&snapshot), [wanted]);
    }

    #[test]
    fn of_many_labels_the_first_are_told_and_all_are_counted() {
        let mut snapshot = snapshot();
        (0..50).for_each(|n| labelled(&mut snapshot, n.to_string(), "color", &format!("c{n:02}")));
        let told = unknown_labels(&snapshot);
        assert_eq!((told[0].labels.len(), told[0].labels_total), (TOLD_MAX, 50));
        assert_eq!(told[0].labels[0].label, "c00");
    }

    #[test]
    fn what_is_told_is_bounded() {
        let one = || v1::UnknownLabels { attribute: "x".repeat(98), ..v1::UnknownLabels::default() };
        assert_eq!(one().encoded_len(), 100);
        assert_eq!(within((0..10).map(|_| one()), 350).len(), 3);
    }
}
