//! What an item that is written must be, whatever the catalogue holds.

use super::item::{Named, NewItem, Parts, Scope};
use crate::config::Limits;
use crate::error::{Error, Faults};
use crate::request::ID_LEN_MAX;
use lapel_heads::is_name;
use lapel_values::{FieldValue, MOMENTS_US};
use std::collections::BTreeMap;

/// Longest keyword, in bytes.
const KEYWORD_BYTES_MAX: usize = 256;
const NAME: &str = "1 to 64 characters, no control characters, no outer spaces";

/// Checks an item by itself, before its image is embedded.
///
/// # Errors
/// [`Error::Invalid`] with all its faults.
pub(super) fn check_item(item: &NewItem, limits: &Limits) -> Result<(), Error> {
    let mut faults = Faults::default();
    if !is_id(&item.id) {
        faults.refuse("id", format!("an id has 1 to {ID_LEN_MAX} bytes and no control characters"));
    }
    match &item.scope {
        Scope::Whole => check_substance(item, &mut faults),
        // Of one that is there the images stay; of another this is checked where that shows (`Batch::merge`).
        Scope::Merged => {}
        Scope::Part(parts) => check_parts(item, parts, &mut faults),
    }
    let images = usize::from(item.image.is_some()) + item.more_images.len();
    if item.image.is_none() && images > 0 {
        faults.refuse("image", "further images are given without a first one; give that in `image`");
    }
    if images > limits.item_pictures_max as usize {
        let most = limits.item_pictures_max;
        faults.refuse("more_images", format!("there are {images} images; at most {most} are accepted"));
    }
    // Beside them a message has room for all else, so that an export can be imported.
    let bytes: usize = item.image.iter().chain(&item.more_images).map(Vec::len).sum();
    let most = limits.image_bytes_max.0;
    if !item.more_images.is_empty() && bytes > most {
        let told = format!("the images have {bytes} bytes together; at most {most} are accepted");
        faults.refuse("more_images", told);
    }
    for (at, _) in item.more_images.iter().enumerate().filter(|(_, image)| image.is_empty()) {
        faults.refuse(format!("more_images[{at}]"), "it is empty");
    }
    // Of a write of parts, or beside what is there, the outcome counts (`Batch::check_growth`).
    if item.scope == Scope::Whole {
        check_counts((item.labels.len(), item.fields.len()), limits, &mut faults);
    }
    for (attribute, label) in &item.labels {
        if !is_name(attribute) || !is_name(label) {
            faults.refuse(format!("labels[{attribute}]"), format!("attributes and labels have {NAME}"));
        }
    }
    for (field, value) in &item.fields {
        let fault = value_fault(value, limits.keywords_max);
        let fault = if is_name(field) { fault } else { Some(format!("fields' names have {NAME}")) };
        if let Some(fault) = fault {
            faults.refuse(format!("fields[{field}]"), fault);
        }
    }
    faults.end()
}

/// Notes where a new item has nothing that it could be found by.
pub(super) fn check_substance(item: &NewItem, faults: &mut Faults) {
    if item.image.is_none() && item.signatures.is_empty() {
        faults.refuse("image", "an item needs an image, or signatures computed elsewhere");
    }
}

/// Notes where an item has more labels or fields than it may.
pub(super) fn check_counts((labels, fields): (usize, usize), limits: &Limits, faults: &mut Faults) {
    let bounds = [("labels", labels, limits.item_labels_max), ("fields", fields, limits.item_fields_max)];
    for (what, count, most) in bounds {
        if count > most {
            faults.refuse(what, format!("there are {count} {what}; at most {most} are accepted"));
        }
    }
}

/// A write of parts brings what it names and nothing else.
fn check_parts(item: &NewItem, parts: &Parts, faults: &mut Faults) {
    if parts.is_empty() {
        faults.refuse("update_mask", "it names nothing; name labels, fields or signatures");
    }
    if item.image.is_some() || !item.more_images.is_empty() {
        faults
            .refuse("image", "a write of parts keeps the item's images; write the whole item to replace it");
    }
    check_named("labels", &item.labels, &parts.labels, faults);
    check_named("fields", &item.fields, &parts.fields, faults);
    match (parts.signatures, item.signatures.is_empty()) {
        (true, true) => faults.refuse("signatures", "there are none to add"),
        (false, false) => {
            faults.refuse("signatures", "they are not in update_mask; name `signatures` there");
        }
        (true, false) | (false, true) => {}
    }
}

fn check_named<V>(what: &str, given: &BTreeMap<String, V>, named: &Named, faults: &mut Faults) {
    for name in given.keys().filter(|name| !named.has(name)) {
        let wanted = format!("it is not in update_mask; name `{what}` or `{what}.NAME` there");
        faults.refuse(format!("{what}[{name}]"), wanted);
    }
}

/// What is wrong with a value, in words.
fn value_fault(value: &FieldValue, keywords_max: usize) -> Option<String> {
    let keyword =
        || format!("a keyword has 1 to {KEYWORD_BYTES_MAX} bytes, no control characters, no outer spaces");
    match value {
        FieldValue::Keyword(text) => (!is_keyword(text)).then(keyword),
        FieldValue::Keywords(texts) => {
            let count = texts.len();
            if count == 0 || count > keywords_max {
                return Some(format!("there are {count} keywords; 1 to {keywords_max} are accepted"));
            }
            (!texts.iter().all(|text| is_keyword(text))).then(keyword)
        }
        FieldValue::Timestamp(us) => {
            (!MOMENTS_US.contains(us)).then(|| "a timestamp lies in the years 1 to 9999".to_owned())
        }
        FieldValue::Integer(_) | FieldValue::Number(_) | FieldValue::Boolean(_) => None,
    }
}

fn is_keyword(text: &str) -> bool {
    (1..=KEYWORD_BYTES_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

fn is_id(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapel_values::Fields;
    use std::collections::BTreeSet;

    /// The fields with faults.
    fn faulty(item: &NewItem) -> Vec<String> {
        match check_item(item, &Limits { keywords_max: 2, item_fields_max: 3, ..Limits::default() }) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(violations)) => violations.into_iter().map(|v| v.field).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    fn item(scope: Scope) -> NewItem {
        NewItem { signatures: vec![("mood".into(), vec![1.0])], scope, ..NewItem::new("a".into()) }
    }

    fn with_value(value: FieldValue) -> NewItem {
        NewItem { fields: Fields::from([("f".to_owned(), value)]), ..item(Scope::Whole) }
    }

    #[test]
    fn values_are_within_their_bounds() {
        let keywords = |texts: &[&str]| {
            FieldValue::Keywords(texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>())
        };
        let sound = [
            FieldValue::Keyword("é".repeat(128)),
            keywords(&["a", "b"]),
            FieldValue::Integer(i64::MIN),
            FieldValue::Boolean(false),
            FieldValue::Timestamp(*MOMENTS_US.start()),
            FieldValue::Timestamp(*MOMENTS_US.end()),
        ];
        for value in sound {
            assert_eq!(faulty(&with_value(value.clone())), [""; 0], "{value:?}");
        }
        let faults = [
            FieldValue::Keyword(String::new()),
            FieldValue::Keyword("é".repeat(129)),
            FieldValue::Keyword(" a".into()),
            FieldValue::Keyword("a\u{7}b".into()),
            keywords(&[]),
            keywords(&["a", "b", "c"]),
            keywords(&["a", ""]),
            FieldValue::Timestamp(MOMENTS_US.start() - 1),
            FieldValue::Timestamp(MOMENTS_US.end() + 1),
        ];
        for value in faults {
            assert_eq!(faulty(&with_value(value.clone())), ["fields[f]"], "{value:?}");
        }
    }

    #[test]
    fn all_faults_of_an_item_come_at_once() {
        let value = |name: &str| (name.to_owned(), FieldValue::Boolean(true));
        let fields = ["a", "b", "c", " d"].map(value).into();
        let labels = [("color".to_owned(), String::new())].into();
        let found = faulty(&NewItem { fields, labels, ..NewItem::new(String::new()) });
        assert_eq!(found, ["id", "image", "fields", "labels[color]", "fields[ d]"]);
        // What is there may have an image.
        assert_eq!(faulty(&NewItem { scope: Scope::Merged, ..NewItem::new("a".into()) }), [""; 0]);
    }

    #[test]
    fn pictures_are_within_their_bounds() {
        let with = |image: Option<Vec<u8>>, more: &[&[u8]]| {
            let more_images = more.iter().map(|image| image.to_vec()).collect();
            faulty(&NewItem { image, more_images, ..item(Scope::Whole) })
        };
        assert_eq!(with(Some(vec![1]), &[&[2_u8] as &[u8]; 7]), [""; 0]);
        assert_eq!(with(Some(vec![1]), &[&[2_u8] as &[u8]; 8]), ["more_images"]);
        // Together no more than one may have.
        let large = vec![0; Limits::default().image_bytes_max.0 / 2 + 1];
        assert_eq!(with(Some(large.clone()), &[&large]), ["more_images"]);
        assert_eq!(with(None, &[&[2]]), ["image"]);
        assert_eq!(with(Some(vec![1]), &[&[2], &[]]), ["more_images[1]"]);
    }

    #[test]
    fn a_write_of_parts_brings_what_it_names() {
        assert_eq!(faulty(&item(Scope::Part(Parts::default()))), ["update_mask", "signatures"]);
        let signatures = Parts { signatures: true, ..Parts::default() };
        assert_eq!(faulty(&item(Scope::Part(signatures.clone()))), [""; 0]);
        let mut named = signatures;
        named.fields.add("f");
        let fields = ["f", "g"].map(|name| (name.to_owned(), FieldValue::Integer(1))).into();
        let labels = [("color".to_owned(), "red".to_owned())].into();
        let scope = Scope::Part(named);
        let given = NewItem { image: Some(vec![1]), fields, labels, scope, ..NewItem::new("a".into()) };
        assert_eq!(faulty(&given), ["image", "labels[color]", "fields[g]", "signatures"]);
    }
}
