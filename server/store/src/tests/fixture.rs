//! The fixture of today's format: a small catalogue with records of every kind.
//!
//! It is written once, before the format changes, and from then on shows that the format before is brought up.

use super::*;
use lapel_values::Finite;
use std::collections::BTreeMap;

/// What the fixture's receipts are of.
pub fn request() -> ContentId {
    ContentId::of(b"a request")
}

fn version(weight: f64) -> ProfileVersion {
    let picked_ids = vec!["red".to_owned(), "blue".to_owned()];
    ProfileVersion { weights: BTreeMap::from([("style".to_owned(), weight)]), picked_ids, saved_ms: 7 }
}

/// Fields of every kind.
pub fn fields() -> Fields {
    let words = ["linen", "summer"].map(str::to_owned);
    let price = Finite::new(49.5).expect("finite");
    let fields = [
        ("brand", FieldValue::Keyword("Nord".into())),
        ("tags", FieldValue::Keywords(words.into())),
        ("stock", FieldValue::Integer(-3)),
        ("price", FieldValue::Number(price)),
        ("on_sale", FieldValue::Boolean(true)),
        ("listed", FieldValue::Timestamp(1_700_000_000_000_000)),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn put(id: &str, label: Option<&str>, image: Option<&[u8]>, case: Option<StoredPartsCase>) -> ItemChange {
    let labels = label.map(|label| ("style".to_owned(), label.to_owned())).into_iter().collect();
    let record = ItemRecord {
        labels,
        image: image.map(ContentId::of),
        parts_case: case,
        updated_ms: 1_700_000_000_000,
        fields: if image.is_some() { fields() } else { Fields::new() },
        more_images: Vec::new(),
    };
    let signatures = vec![("style-1".to_owned(), vec![0.0, 1.0, 0.0])];
    ItemChange::Put {
        id: id.into(),
        record,
        images: image.into_iter().map(<[u8]>::to_vec).collect(),
        signatures,
        pictures: Vec::new(),
        replaces: Some(1),
    }
}

fn head(version: u32, state: StoredState) -> HeadRecord {
    let backbone = Some("tests/1".to_owned());
    HeadRecord {
        name: "style".into(),
        version,
        bundle_sha256: format!("{version:064}"),
        backbone,
        state,
        promotes_itself: version == 1,
        served_ms: 5,
        registered_ms: 4,
    }
}

/// Three items, two of them with fields of every kind, one of these with two images, two versions of a head, a model, two profiles with earlier versions, a receipt of every kind.
pub fn fill(store: &Store) {
    let model = ModelRecord {
        state: StoredState::Active,
        promotes_itself: true,
        heads: vec!["style-1".into()],
        registered_ms: 3,
    };
    let asked = RequestHash { request: request(), message: request() };
    let receipt = |id: &str, outcome| Receipt { request_id: id.into(), request: asked, outcome };
    store
        .change_heads(&HeadChange {
            heads: vec![
                ("style-1".into(), head(1, StoredState::Active)),
                ("style-2".into(), head(2, StoredState::Failed("no finite signature".into()))),
            ],
            models: vec![("tests/1".into(), model)],
            bundles: vec![("style-1".into(), vec![1; 40]), ("tests/1/backbone".into(), vec![2; 50])],
            generation: 3,
            receipt: Some(receipt("head", Outcome::Head("style".into(), 1))),
        })
        .expect("written");
    let mut items = [
        put("bare", None, None, None),
        put("blue", Some("plain"), Some(&[3; 60]), Some(StoredPartsCase::Sleeved)),
        put("red", Some("striped"), Some(&[4; 70]), Some(StoredPartsCase::LowerBody)),
    ];
    if let ItemChange::Put { record, images, pictures, .. } = &mut items[2] {
        let more = [6; 80].to_vec();
        let parts_case = Some(StoredPartsCase::Sleeveless);
        record.more_images = vec![StoredImage { content: ContentId::of(&more), parts_case }];
        images.push(more);
        let of_picture = |at: usize| {
            let values = (0..3).map(|i| f32::from(u8::from(i == at))).collect();
            vec![("style-1".to_owned(), values)]
        };
        *pictures = vec![of_picture(0), of_picture(2)];
    }
    let receipts = [
        receipt("upsert", Outcome::Upserted(true)),
        receipt("delete", Outcome::Deleted(vec!["gone".into()])),
        receipt("model", Outcome::Model("tests/1".into())),
        receipt("filter", Outcome::DeletedByFilter { items: 2, first_ids: vec!["gone".into()] }),
    ];
    assert!(store.prepare(&items, &["style-1".to_owned()], &receipts).commit(|| true).expect("written"));
    for (name, request_id) in [("ann", "profile"), ("\u{1f}shop\u{1f}zoe", "")] {
        for weight in 1..=3u32 {
            let key = RequestKey { id: if weight == 3 { request_id } else { "" }, request: asked };
            let change = ProfileChange::Save { version: version(f64::from(weight)), undo_max: 20 };
            let keys = ProfileKeys { own: name, unowned: None };
            let saved = store.change_profile::<StoreError>(keys, key, |_, _| Ok(change));
            saved.expect("written");
        }
    }
}

/// Writes testdata/format-N.redb, N the format of today. Run it, and commit the file, before the format changes:
/// `cargo test -p lapel-store write_the_fixture -- --ignored`
#[test]
#[ignore = "writes the committed fixture; run it before the format changes"]
fn write_the_fixture() {
    let folder = tempfile::tempdir().expect("folder");
    fill(&Store::open(StoreConfig { receipts_max: 100, ..store_in(folder.path()) }).expect("opens"));
    compact(folder.path()).expect("compacted");
    let fixture = format!("{}/testdata/format-{FORMAT}.redb", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(folder.path().join(FILE), fixture).expect("copied");
}
