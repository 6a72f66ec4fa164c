//! Statistics of the catalogue, a page of labels and damaged items at a time.

use super::fields;
use super::paging::{self, PAGE_BYTES};
use super::unknown_labels::unknown_labels;
use crate::catalogue::{Items, Snapshot};
use crate::config::CatalogConfig;
use crate::error::Error;
use lapel_proto::v1;
use std::collections::BTreeMap;

/// What an entry of a page takes beside its text.
const ENTRY_BYTES: usize = 16;
/// Between the attribute and the label of a token; neither may hold it. A damaged item has no attribute.
const BETWEEN: char = '\n';

/// What pages are made of, in their order.
enum Entry<'a> {
    Label { attribute: &'a str, label: &'a str, items: u64 },
    Damaged(&'a str),
}

impl Entry<'_> {
    /// The place in the order: labels by attribute, then damaged items.
    fn place(&self) -> (bool, &str, &str) {
        match self {
            Self::Label { attribute, label, .. } => (false, attribute, label),
            Self::Damaged(id) => (true, "", id),
        }
    }

    /// The token of the page after the one that ends here.
    fn token(&self) -> String {
        let (_, attribute, last) = self.place();
        format!("{attribute}{BETWEEN}{last}")
    }

    fn put(&self, page: &mut v1::CatalogStatsResponse) {
        match *self {
            Self::Label { attribute, label, items } => {
                let counts = page.labels.entry(attribute.to_owned()).or_default();
                counts.counts.insert(label.to_owned(), items);
            }
            Self::Damaged(id) => page.damaged_items.push(id.to_owned()),
        }
    }
}

/// The place that a token names.
fn place_of(token: &str) -> (bool, &str, &str) {
    let (attribute, last) = token.split_once(BETWEEN).unwrap_or((token, ""));
    (attribute.is_empty(), attribute, last)
}

/// A page of the statistics, with what is on every page.
pub(super) fn page(
    snapshot: &Snapshot,
    declared: &CatalogConfig,
    request: &v1::CatalogStatsRequest,
    cached_features: u64,
) -> Result<v1::CatalogStatsResponse, Error> {
    let size = match request.page_size {
        0 => usize::MAX,
        asked => paging::page_size(asked)?,
    };
    let items = snapshot.items();
    let (damaged, lost_records) = snapshot.damage();
    let coverage = snapshot.columns().iter().map(|c| v1::HeadCoverage {
        head: c.head().name().to_owned(),
        signatures: c.count(),
        missing: items.len() as u64 - c.count(),
    });
    let is_first = request.page_token.is_empty();
    let mut page = v1::CatalogStatsResponse {
        items: items.len() as u64,
        heads: coverage.collect(),
        generation: snapshot.generation,
        lost_records,
        cached_features,
        fields: if is_first { coverage_of_fields(items, declared) } else { Vec::new() },
        unknown_labels: if is_first { unknown_labels(snapshot) } else { Vec::new() },
        ..v1::CatalogStatsResponse::default()
    };
    let labels = items.labels().flat_map(|(attribute, by_label)| {
        by_label.iter().map(move |(label, slots)| Entry::Label { attribute, label, items: slots.len() })
    });
    fill(&mut page, labels.chain(damaged.iter().map(|id| Entry::Damaged(id))), size, &request.page_token);
    Ok(page)
}

/// Fields that are declared or that items have, by name; there are few of them (`limits.fields_max`).
fn coverage_of_fields(items: Items<'_>, declared: &CatalogConfig) -> Vec<v1::FieldCoverage> {
    let mut all: BTreeMap<&String, _> =
        declared.fields.iter().map(|(field, kind)| (field, (*kind, true, 0))).collect();
    for (field, kind, items) in items.fields().iter() {
        // What is declared is what items have.
        all.insert(field, (kind, declared.fields.contains_key(field), items));
    }
    let told = all.into_iter().map(|(field, (kind, declared, items))| v1::FieldCoverage {
        field: field.clone(),
        kind: fields::kind(kind).into(),
        declared,
        items,
    });
    told.collect()
}

/// Puts as many entries after the token on a page as fit, and says whether there are more.
fn fill<'a>(
    page: &mut v1::CatalogStatsResponse,
    entries: impl Iterator<Item = Entry<'a>>,
    size: usize,
    token: &str,
) {
    let mut rest =
        entries.skip_while(|entry| !token.is_empty() && entry.place() <= place_of(token)).peekable();
    let (mut taken, mut bytes, mut last) = (0, 0, None);
    while let Some(entry) = rest.peek() {
        let (_, attribute, text) = entry.place();
        bytes += ENTRY_BYTES + text.len();
        if !page.labels.contains_key(attribute) {
            bytes += ENTRY_BYTES + attribute.len();
        }
        if taken == size || (bytes > PAGE_BYTES && taken > 0) {
            page.next_page_token = last.unwrap_or_default();
            return;
        }
        entry.put(page);
        last = Some(entry.token());
        taken += 1;
        rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ItemChange, ItemRecord};
    use lapel_heads::Labels;
    use lapel_values::{FieldKind, FieldValue};
    use prost::Message;

    /// All pages of these entries: how many there are, and what they hold together.
    fn paged(
        labels: &[(String, String)],
        damaged: &[String],
        size: usize,
    ) -> (usize, v1::CatalogStatsResponse) {
        let (mut pages, mut whole, mut token) = (0, v1::CatalogStatsResponse::default(), String::new());
        loop {
            let entries = labels.iter().zip(1..);
            let entries = entries.map(|((attribute, label), items)| Entry::Label { attribute, label, items });
            let mut page = v1::CatalogStatsResponse::default();
            fill(&mut page, entries.chain(damaged.iter().map(|id| Entry::Damaged(id))), size, &token);
            assert!(page.encoded_len() <= PAGE_BYTES + 1000, "{}", page.encoded_len());
            pages += 1;
            for (attribute, counts) in page.labels {
                whole.labels.entry(attribute).or_default().counts.extend(counts.counts);
            }
            whole.damaged_items.extend(page.damaged_items);
            token = page.next_page_token;
            if token.is_empty() {
                return (pages, whole);
            }
        }
    }

    fn labels(attributes: usize, each: usize, length: usize) -> Vec<(String, String)> {
        let label = |n: usize| format!("{n:05}{}", "x".repeat(length));
        (0..attributes).flat_map(|a| (0..each).map(move |n| (format!("a{a:03}"), label(n)))).collect()
    }

    #[test]
    fn pages_are_together_all_entries() {
        let (labels, damaged) = (labels(3, 5, 1), ["b".to_owned(), "c".to_owned()]);
        let (pages, all) = paged(&labels, &damaged, usize::MAX);
        assert_eq!((pages, all.labels.len(), all.damaged_items.len()), (1, 3, 2));
        for size in 1..=17 {
            let (pages, found) = paged(&labels, &damaged, size);
            assert_eq!(pages, 17_usize.div_ceil(size));
            assert_eq!(found, all, "pages of {size}");
        }
        assert_eq!(paged(&[], &[], 1).0, 1, "an empty one");
        assert_eq!(paged(&[], &damaged, 1).0, 2);
    }

    #[test]
    fn a_page_ends_before_clients_could_not_read_it() {
        let labels = labels(100, 1000, 50);
        let (pages, all) = paged(&labels, &[], usize::MAX);
        assert!((2..=4).contains(&pages), "{pages}");
        assert_eq!(all.labels.values().map(|counts| counts.counts.len()).sum::<usize>(), labels.len());
    }

    #[test]
    fn declared_fields_and_those_of_items_are_told_by_name() {
        let mut snapshot = Snapshot::default();
        let fields = [("price", FieldValue::Integer(3)), ("b", FieldValue::Boolean(true))];
        let fields = fields.map(|(field, value)| (field.to_owned(), value)).into();
        let record = ItemRecord {
            labels: Labels::new(),
            fields,
            image: None,
            parts_case: None,
            updated_ms: 0,
            more_images: Vec::new(),
        };
        let (id, signatures) = ("a".to_owned(), Vec::new());
        snapshot.apply(&[ItemChange::Put {
            id,
            record,
            images: Vec::new(),
            signatures,
            pictures: Vec::new(),
            replaces: None,
        }]);
        let declared = [("price", FieldKind::Integer), ("a", FieldKind::Keywords)];
        let declared = declared.map(|(field, kind)| (field.to_owned(), kind)).into();
        let told = coverage_of_fields(
            snapshot.items(),
            &CatalogConfig { fields: declared, ..CatalogConfig::default() },
        );
        let of = |field: &str, kind: v1::FieldKind, declared, items| v1::FieldCoverage {
            field: field.to_owned(),
            kind: kind.into(),
            declared,
            items,
        };
        let wanted = [
            of("a", v1::FieldKind::Keywords, true, 0),
            of("b", v1::FieldKind::Boolean, false, 1),
            of("price", v1::FieldKind::Integer, true, 1),
        ];
        assert_eq!(told, wanted);
    }
}
