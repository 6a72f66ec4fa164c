use super::*;
use crate::catalogue::Precision;
use crate::config::CatalogConfig;
use crate::core::Named;
use crate::core::kinds::contradictions;
use crate::testing::{external_head, network_head};
use lapel_heads::{Attribute, Labels, Manifest};
use lapel_values::{FieldKind, FieldValue, Fields};

/// A catalogue with a head of two numbers and these items.
fn snapshot(items: &[(&str, &[(&str, FieldValue)])]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.add_reserve(Column::new("mood", external_head("mood", 2, &["calm"]), Precision::F32));
    snapshot.activate("mood");
    for (id, fields) in items {
        let labels = Labels::from([("color".to_owned(), "red".to_owned())]);
        let record = ItemRecord {
            labels,
            fields: of(fields),
            image: None,
            parts_case: None,
            updated_ms: 7,
            more_images: Vec::new(),
        };
        let signatures = vec![("mood".to_owned(), vec![1.0, 0.0])];
        let id = (*id).to_owned();
        snapshot.apply(&[ItemChange::Put {
            id,
            record,
            images: Vec::new(),
            signatures,
            pictures: Vec::new(),
            replaces: None,
        }]);
    }
    snapshot
}

fn of(fields: &[(&str, FieldValue)]) -> Fields {
    fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect()
}

fn whole(id: &str, fields: &[(&str, FieldValue)]) -> NewItem {
    let signatures = vec![("mood".to_owned(), vec![0.0, 1.0])];
    NewItem { fields: of(fields), signatures, ..NewItem::new(id.into()) }
}

/// Sets a field of an item, or removes it.
fn set(id: &str, field: &str, value: Option<FieldValue>) -> NewItem {
    let mut parts = Parts::default();
    parts.fields.add(field);
    let fields = value.map(|value| (field.to_owned(), value)).into_iter().collect();
    NewItem { fields, scope: Scope::Part(parts), ..NewItem::new(id.into()) }
}

fn upsert(batch: &mut Batch<'_>, item: NewItem) -> Result<Upserted, Error> {
    upsert_embedded(batch, item, Embedded::default())
}

/// As with a store that nothing has been written to.
fn upsert_embedded(batch: &mut Batch<'_>, item: NewItem, embedded: Embedded) -> Result<Upserted, Error> {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(crate::testing::store_in(folder.path())).expect("opened");
    batch.upsert_one(item, Ok(embedded), Ok(None), &store)
}

#[test]
fn an_item_with_several_pictures_is_stored_with_each_and_found_by_their_mean() {
    let (snapshot, config) = (snapshot(&[("a", &[])]), Config::default());
    let mut batch = Batch::new(&snapshot, &config);
    let head = snapshot.columns()[0].head().clone();
    let picture = |image: u8, values: Option<[f32; 2]>| EmbeddedPicture {
        content: ContentId::of(&[image]),
        computed: vec![(head.clone(), values.map(|values| values.to_vec()))],
        parts_case: None,
    };
    let pictures = vec![picture(1, Some([1.0, 0.0])), picture(2, None), picture(3, Some([0.0, 1.0]))];
    let more_images = vec![vec![2], vec![3]];
    let item = NewItem { image: Some(vec![1]), more_images, ..NewItem::new("a".into()) };
    let embedded = Embedded { pictures, features: Vec::new() };
    assert!(upsert_embedded(&mut batch, item, embedded).expect("put").replaced);
    let Some(ItemChange::Put { record, images, signatures, pictures, replaces, .. }) = batch.changes.last()
    else {
        panic!("{:?}", batch.changes)
    };
    let contents: Vec<ContentId> = record.images().map(|image| image.content).collect();
    assert_eq!(contents, [[1], [2], [3]].map(|image| ContentId::of(&image)));
    assert_eq!(*images, [vec![1], vec![2], vec![3]]);
    assert_eq!(pictures.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
    let half = 0.5f32.sqrt();
    assert!(signatures[0].1.iter().all(|value| (value - half).abs() < 1e-6), "{signatures:?}");
    assert_eq!((*replaces, batch.pictures("a"), batch.pictures("b")), (Some(0), Some(3), None));
    // One of them alone has no row beside the item's own.
    let item = NewItem { image: Some(vec![1]), ..NewItem::new("a".into()) };
    let embedded = Embedded { pictures: vec![picture(1, Some([1.0, 0.0]))], features: Vec::new() };
    upsert_embedded(&mut batch, item, embedded).expect("put");
    let last = batch.changes.last();
    assert!(matches!(last, Some(ItemChange::Put { pictures, replaces: Some(3), .. }) if pictures.is_empty()));
}

/// What is wrong, in words, with its field.
fn refused(batch: &mut Batch<'_>, item: NewItem) -> String {
    upsert(batch, item).expect_err("refused").to_string()
}

#[test]
fn parts_are_set_on_what_the_writes_before_them_lead_to() {
    let (before, config) = (snapshot(&[("a", &[("price", FieldValue::Integer(3))])]), Config::default());
    let mut batch = Batch::new(&before, &config);
    upsert(&mut batch, set("a", "stock", Some(FieldValue::Boolean(true)))).expect("set");
    upsert(&mut batch, set("a", "price", None)).expect("removed");
    upsert(&mut batch, set("a", "price", Some(FieldValue::Integer(9)))).expect("set again");
    let record = batch.record("a").expect("there");
    let wanted = of(&[("price", FieldValue::Integer(9)), ("stock", FieldValue::Boolean(true))]);
    assert_eq!((&record.fields, record.labels.len()), (&wanted, 1));
    assert!(record.updated_ms > 7);
    let missing = upsert(&mut batch, set("b", "price", None));
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let labels = Parts { labels: Named::All, ..Parts::default() };
    upsert(&mut batch, NewItem { scope: Scope::Part(labels), ..NewItem::new("a".into()) })
        .expect("relabelled");
    let record = batch.record("a").expect("there");
    assert_eq!((&record.fields, record.labels.len()), (&wanted, 0));
}

#[test]
fn signatures_that_are_added_leave_the_time_of_the_last_write() {
    let (before, config) = (snapshot(&[("a", &[])]), Config::default());
    let mut batch = Batch::new(&before, &config);
    let parts = Parts { signatures: true, ..Parts::default() };
    upsert(&mut batch, NewItem { scope: Scope::Part(parts), ..whole("a", &[]) }).expect("added");
    assert_eq!(batch.record("a").expect("there").updated_ms, 7);
    let [ItemChange::Revise { signatures, .. }] = batch.changes.as_slice() else { panic!("one revision") };
    assert_eq!(signatures.as_slice(), [("mood".to_owned(), vec![0.0, 1.0])]);
}

#[test]
fn a_value_is_of_its_fields_kind() {
    let before = snapshot(&[("a", &[("price", FieldValue::Integer(3))])]);
    let declared = [("stock".to_owned(), FieldKind::Boolean)].into();
    let config = Config {
        catalog: CatalogConfig { fields: declared, ..CatalogConfig::default() },
        ..Config::default()
    };
    let mut batch = Batch::new(&before, &config);
    let keyword = || FieldValue::Keyword("cheap".into());
    let stored = refused(&mut batch, whole("b", &[("price", keyword())]));
    assert_eq!(stored, "fields[price]: price is an integer; this is a keyword");
    let of_declared = refused(&mut batch, whole("b", &[("stock", keyword())]));
    assert_eq!(of_declared, "fields[stock]: stock is a boolean; this is a keyword");
    // What a refused item brings counts for nothing.
    refused(&mut batch, whole("b", &[("price", keyword()), ("size", FieldValue::Integer(4))]));
    upsert(&mut batch, whole("b", &[("size", keyword())])).expect("a new field");
    let brought = refused(&mut batch, set("b", "size", Some(FieldValue::Integer(4))));
    assert_eq!(brought, "fields[size]: size is a keyword; this is an integer");
    // The kind stays while the very item has the field.
    refused(&mut batch, set("a", "price", Some(keyword())));
}

#[test]
fn declared_kinds_that_items_contradict_are_told() {
    let before = snapshot(&[("a", &[("price", FieldValue::Integer(3))])]);
    let declared = |price| [("price", price), ("size", FieldKind::Number)].map(|(f, k)| (f.to_owned(), k));
    let told = |price| contradictions(&declared(price).into(), before.items().fields());
    assert!(told(FieldKind::Integer).is_empty());
    let told = told(FieldKind::Keyword);
    assert!(
        told.len() == 1 && told[0].starts_with("price is declared as a keyword, and it is an integer"),
        "{told:?}"
    );
    assert!(told[0].contains("declare price = \"integer\""), "{told:?}");
}

#[test]
fn fields_of_the_catalogue_and_of_an_item_are_bounded() {
    let before = snapshot(&[("a", &[("x", FieldValue::Integer(3)), ("y", FieldValue::Integer(3))])]);
    let limits = Limits { fields_max: 3, item_fields_max: 2, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let mut batch = Batch::new(&before, &config);
    let over = refused(&mut batch, set("a", "z", Some(FieldValue::Integer(1))));
    assert!(over.contains("at most 2"), "{over}");
    upsert(&mut batch, whole("b", &[("z", FieldValue::Integer(1))])).expect("the third");
    let fourth = refused(&mut batch, whole("c", &[("v", FieldValue::Integer(1))]));
    assert!(fourth.contains("limits.fields_max"), "{fourth}");
}

#[test]
fn what_passes_is_deleted_where_as_many_pass_as_are_expected() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(crate::testing::store_in(folder.path())).expect("opened");
    let stock = |in_stock| [("stock", FieldValue::Boolean(in_stock))];
    let before = snapshot(&[("b", &stock(false)), ("c", &stock(true)), ("a", &stock(false))]);
    let config = Config::default();
    let mut batch = Batch::new(&before, &config);
    let any_of = vec![FieldValue::Boolean(false)];
    let filter = Filter::Field { field: "stock".into(), any_of };
    let seen = Filter::Predicted { attribute: "style".into(), any_of: vec!["boho".into()], least: None };
    let later = batch.delete_where((&seen, before.generation + 1), None, &RequestId::none(), &store);
    assert!(matches!(later, Err(Error::Precondition { reason: "HEADS_CHANGED", .. })), "{later:?}");
    let other = batch.delete_where((&filter, before.generation), Some(3), &RequestId::none(), &store);
    assert!(matches!(other, Err(Error::Precondition { reason: "COUNT_DIFFERS", .. })), "{other:?}");
    assert!(batch.changes.is_empty());
    let deleted = batch
        .delete_where((&filter, before.generation), Some(2), &RequestId::none(), &store)
        .expect("deleted");
    assert_eq!(deleted, DeletedWhere { items: 2, first_ids: vec!["a".into(), "b".into()] });
    let ids: Vec<&str> = batch.changes.iter().map(ItemChange::id).collect();
    assert_eq!(ids, ["a", "b"]);
}

/// An item with a picture, all of whose others are kept.
fn merged(id: &str, labels: &[(&str, &str)], fields: &[(&str, FieldValue)]) -> NewItem {
    let labels = labels.iter().map(|(name, label)| ((*name).to_owned(), (*label).to_owned())).collect();
    let image = Some(vec![1]);
    NewItem { labels, fields: of(fields), image, scope: Scope::Merged, ..NewItem::new(id.into()) }
}

/// Upserts an item whose picture has no signatures of its own.
fn upsert_pictured(batch: &mut Batch<'_>, item: NewItem) -> Result<Upserted, Error> {
    let picture = EmbeddedPicture { content: ContentId::of(&[1]), computed: Vec::new(), parts_case: None };
    upsert_embedded(batch, item, Embedded { pictures: vec![picture], features: Vec::new() })
}

#[test]
fn an_item_that_comes_again_keeps_what_is_not_named() {
    let (before, config) = (snapshot(&[("a", &[("price", FieldValue::Integer(3))])]), Config::default());
    let mut batch = Batch::new(&before, &config);
    let item = merged("a", &[("fit", "slim")], &[("stock", FieldValue::Integer(1))]);
    assert!(upsert_pictured(&mut batch, item).expect("put").replaced);
    let record = batch.record("a").expect("there");
    assert_eq!(record.fields, of(&[("price", FieldValue::Integer(3)), ("stock", FieldValue::Integer(1))]));
    assert_eq!(record.labels.keys().collect::<Vec<_>>(), ["color", "fit"]);
    let signatures = |batch: &Batch<'_>| match batch.changes.last() {
        Some(ItemChange::Put { signatures, .. } | ItemChange::Revise { signatures, .. }) => {
            signatures.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(signatures(&batch), [("mood".to_owned(), vec![1.0, 0.0])]);
    // What is named is replaced, and a signature of the same batch is kept.
    let parts = Parts { signatures: true, ..Parts::default() };
    upsert(&mut batch, NewItem { scope: Scope::Part(parts), ..whole("a", &[]) }).expect("signed");
    upsert_pictured(&mut batch, merged("a", &[("color", "blue")], &[])).expect("put");
    assert_eq!(batch.record("a").expect("there").labels["color"], "blue");
    assert_eq!(signatures(&batch), [("mood".to_owned(), vec![0.0, 1.0])]);
    let given = NewItem { signatures: whole("a", &[]).signatures, ..merged("a", &[], &[]) };
    upsert_pictured(&mut batch, given).expect("put");
    assert_eq!(signatures(&batch).len(), 1, "once");
    // Without an image, those that are there stay.
    let bare = NewItem { scope: Scope::Merged, ..whole("a", &[]) };
    upsert(&mut batch, bare).expect("revised");
    assert!(matches!(batch.changes.last(), Some(ItemChange::Revise { record, .. }) if record.has_image()));
    assert_eq!(batch.record("a").expect("there").labels.len(), 2);
    // A whole item keeps nothing.
    upsert_pictured(&mut batch, NewItem { scope: Scope::Whole, ..merged("a", &[], &[]) }).expect("put");
    assert!(batch.record("a").expect("there").labels.is_empty() && signatures(&batch).is_empty());
}

#[test]
fn limits_hold_for_what_an_item_is_with_all_that_it_keeps() {
    let before = snapshot(&[("a", &[("x", FieldValue::Integer(3)), ("y", FieldValue::Integer(3))])]);
    let limits = Limits { item_fields_max: 1, item_labels_max: 2, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let mut batch = Batch::new(&before, &config);
    let refused =
        |batch: &mut Batch<'_>, item| upsert_pictured(batch, item).expect_err("refused").to_string();
    let over = refused(&mut batch, merged("a", &[], &[("z", FieldValue::Integer(1))]));
    assert!(over.contains("there are 3 fields"), "{over}");
    let over = refused(&mut batch, merged("a", &[("fit", "slim"), ("cut", "low")], &[]));
    assert!(over.contains("there are 3 labels"), "{over}");
    let two = [("x", FieldValue::Integer(1)), ("y", FieldValue::Integer(1))];
    // It has as many as before.
    upsert_pictured(&mut batch, merged("a", &[("fit", "slim")], &two)).expect("put");
    let over = refused(&mut batch, merged("b", &[], &two));
    assert!(over.contains("there are 2 fields"), "a new one: {over}");
}

#[test]
fn labels_that_a_head_does_not_know_are_refused_where_that_is_wished() {
    let labels = ["red", "blue"].map(str::to_owned).to_vec();
    let manifest = Manifest::external("color", 2, vec![Attribute { name: "color".into(), labels }]);
    let mut before = snapshot(&[("a", &[])]);
    before.add_reserve(Column::new("color", network_head(manifest), Precision::F32));
    before.activate("color");
    let catalog = CatalogConfig { unknown_labels: UnknownLabels::Refuse, ..CatalogConfig::default() };
    let config = Config { catalog, ..Config::default() };
    let mut batch = Batch::new(&before, &config);
    let labelled = |attribute: &str, label: &str| NewItem {
        labels: [(attribute.to_owned(), label.to_owned())].into(),
        ..whole("b", &[])
    };
    let unknown = refused(&mut batch, labelled("color", "rad"));
    let told =
        "labels[color]: attribute \"color\" has no label \"rad\"; did you mean \"red\"? it has: red, blue; ";
    assert_eq!(unknown, format!("{told}{TEACH_FIRST}"));
    let mut parts = Parts::default();
    parts.labels.add("color");
    let item = labelled("color", "rad");
    let part = NewItem { id: "a".into(), signatures: Vec::new(), scope: Scope::Part(parts), ..item };
    assert_eq!(refused(&mut batch, part), unknown);
    // An external head and no head at all know no end of labels.
    for (attribute, label) in [("color", "blue"), ("mood", "wild"), ("fit", "slim")] {
        upsert(&mut batch, labelled(attribute, label)).expect("known");
    }
    let config = Config::default();
    upsert(&mut Batch::new(&before, &config), labelled("color", "rad")).expect("accepted");
}

#[test]
fn a_label_that_stays_or_that_a_version_on_standby_knows_is_not_refused() {
    let column = |key: &str, labels: [&str; 2]| {
        let labels = labels.map(str::to_owned).to_vec();
        let manifest = Manifest::external("color", 2, vec![Attribute { name: "color".into(), labels }]);
        Column::new(key, network_head(manifest), Precision::F32)
    };
    let mut before = snapshot(&[("a", &[])]);
    before.add_reserve(column("color-1", ["blue", "green"]));
    before.activate("color-1");
    before.add_reserve(column("color-2", ["blue", "teal"]).of_version(2));
    let catalog = CatalogConfig { unknown_labels: UnknownLabels::Refuse, ..CatalogConfig::default() };
    let config = Config { catalog, ..Config::default() };
    let mut batch = Batch::new(&before, &config);
    let labelled = |id: &str, label: &str| NewItem {
        labels: [("color".to_owned(), label.to_owned())].into(),
        ..whole(id, &[])
    };
    upsert(&mut batch, labelled("a", "red")).expect("it carries that");
    upsert(&mut batch, labelled("b", "teal")).expect("the second version knows it");
    let unknown = refused(&mut batch, labelled("b", "red"));
    assert!(unknown.starts_with("labels[color]") && unknown.ends_with(TEACH_FIRST), "{unknown}");
}

#[test]
fn a_version_that_is_not_there_is_told_with_those_there_are() {
    let (before, config) = (snapshot(&[]), Config::default());
    let mut batch = Batch::new(&before, &config);
    let signed = |head: &str| {
        let signatures = vec![(head.to_owned(), vec![0.0, 1.0])];
        NewItem { signatures, ..NewItem::new("a".into()) }
    };
    upsert(&mut batch, signed("mood@1")).expect("the one there is");
    for version in ["9", "01", "new"] {
        let told = format!("head \"mood\" has no version {version}; it has: 1");
        assert_eq!(refused(&mut batch, signed(&format!("mood@{version}"))), told);
    }
    assert!(refused(&mut batch, signed("mod@1")).contains("there is no head \"mod@1\""));
}
