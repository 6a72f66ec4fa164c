//! Revisions of items: a new record, other signatures, and the image as it was.

use super::*;

fn revise(id: &str, fields: Fields, signatures: &[(&str, f32)]) -> ItemChange {
    let signatures = signatures.iter().map(|(key, value)| ((*key).to_owned(), vec![*value, 0.0])).collect();
    ItemChange::Revise { id: id.into(), record: ItemRecord { fields, ..record() }, signatures }
}

fn of_head(store: &Store, key: &str) -> Vec<(String, Vec<f32>)> {
    let mut found = Vec::new();
    store.signatures(key, 2, |id, values| found.push((id.to_owned(), values.to_vec()))).expect("read");
    found
}

#[test]
fn a_revised_item_has_its_new_record_and_keeps_the_rest_across_restarts() {
    let folder = tempfile::tempdir().expect("folder");
    let heads = ["h".to_owned(), "new".to_owned()];
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        apply(&store, &[put("a", 1.0), put("b", 2.0)]);
        let changes = [
            revise("a", fixture::fields(), &[]),
            revise("b", stock(1), &[("new", 9.0)]),
            revise("b", stock(2), &[]),
        ];
        assert!(store.prepare(&changes, &heads, &[]).commit(|| true).expect("written"));
    }
    let store = Store::open(store_in(folder.path())).expect("opens");
    let items = store.items().expect("items").0;
    let fields: Vec<_> = items.iter().map(|(id, item)| (id.as_str(), item.fields.clone())).collect();
    assert_eq!(fields, [("a", fixture::fields()), ("b", stock(2))], "the last one is what it has");
    assert_eq!(store.image("a").expect("read"), Some(vec![1, 2, 3]));
    assert_eq!(of_head(&store, "h"), [("a".to_owned(), vec![1.0, 0.0]), ("b".to_owned(), vec![2.0, 0.0])]);
    assert_eq!(of_head(&store, "new"), [("b".to_owned(), vec![9.0, 0.0])]);
}

#[test]
fn only_tables_that_change_are_opened() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(store_in(folder.path())).expect("opens");
    let heads = ["h".to_owned(), "other".to_owned()];
    let bare = ItemChange::Put {
        id: "a".into(),
        record: ItemRecord { image: None, ..record() },
        images: Vec::new(),
        signatures: Vec::new(),
        pictures: Vec::new(),
        replaces: None,
    };
    let write = |changes: &[ItemChange]| {
        assert!(store.prepare(changes, &heads, &[]).commit(|| true).expect("written"));
        store.signature_tables().expect("listed")
    };
    assert!(write(&[bare, revise("a", stock(1), &[])]).is_empty(), "none has a signature");
    assert_eq!(write(&[revise("a", stock(1), &[]), revise("a", stock(2), &[("h", 1.0)])]), ["h"]);
    write(&[ItemChange::Delete { id: "a".into(), pictures: 1 }]);
    assert!(of_head(&store, "h").is_empty());
}

#[test]
fn what_a_change_does_to_signatures() {
    use SignatureChange::{Becomes, Stays};
    let revised = revise("a", stock(1), &[("h", 1.0)]);
    assert_eq!(revised.signature("h"), Becomes(Some(&[1.0, 0.0])));
    assert_eq!((revised.signature("other"), revised.id()), (Stays, "a"));
    assert_eq!(put("a", 1.0).signature("other"), Becomes(None));
    assert_eq!(ItemChange::Delete { id: "a".into(), pictures: 1 }.signature("h"), Becomes(None));
}
