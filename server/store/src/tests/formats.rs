//! Catalogues of earlier formats are brought up, and what is damaged in them keeps nobody from the rest.

use super::fixture::{fields, fill, request};
use super::*;

/// Puts a catalogue that the program of a format wrote into a folder.
pub fn copy_fixture(format: u64, folder: &Path) {
    let fixture = format!("{}/testdata/format-{format}.redb", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(fixture, folder.join(FILE)).expect("copied");
}

/// A catalogue that the first version of the program wrote: two images, two versions of a head, a profile.
#[test]
fn a_catalogue_of_format_1_opens() {
    let folder = tempfile::tempdir().expect("folder");
    copy_fixture(1, folder.path());
    for _ in 0..2 {
        let store = Store::open(store_in(folder.path())).expect("opens");
        let (items, damage) = store.items().expect("items");
        assert!(damage.is_none());
        let labels = |at: usize| items[at].1.labels.clone();
        assert_eq!(items.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["bare", "blue", "red"]);
        assert_eq!(
            labels(2),
            Labels::from([("mood".into(), "calm".into()), ("style".into(), "plain".into())])
        );
        assert_eq!((items[0].1.has_image(), items[1].1.has_image()), (false, true));
        let image = store.image("red").expect("read").expect("there");
        assert_eq!(items[2].1.image, Some(ContentId::of(&image)));
        let (heads, _) = store.heads().expect("heads");
        let mut versions: Vec<_> =
            heads.iter().map(|(_, h)| (h.name.as_str(), h.version, h.state.clone())).collect();
        versions.sort_by_key(|(name, version, _)| (*name, *version));
        let wanted = [
            ("mood", 1, StoredState::Retired),
            ("mood", 2, StoredState::Active),
            ("style", 1, StoredState::Active),
        ];
        assert_eq!(versions, wanted);
        let style = heads.iter().find(|(_, h)| h.name == "style").expect("there").0.clone();
        assert!(store.bundle(&style).expect("read").is_some());
        let mut found = Vec::new();
        store.signatures(&style, 3, |id, v| found.push((id.to_owned(), v.to_vec()))).expect("read");
        assert_eq!(found, [("bare".into(), vec![1.0, 0.0, 0.0]), ("red".into(), vec![0.0, 1.0, 0.0])]);
        let ann = store.profile("ann").expect("read").expect("there");
        assert_eq!((ann.version, ann.current.weights["mood"], ann.undo_steps), (2, 3.0, 1));
        assert!(store.generation().expect("read") >= 3);
    }
}

#[test]
fn a_record_of_an_earlier_format_that_cannot_be_read_keeps_nobody_from_the_others() {
    for (format, heads) in [(1, 3), (2, 2), (3, 2)] {
        let folder = tempfile::tempdir().expect("folder");
        copy_fixture(format, folder.path());
        overwrite(folder.path(), "items", "blue", &[255; 3]);
        for _ in 0..2 {
            let store = Store::open(store_in(folder.path())).expect("opens");
            let (items, damage) = store.items().expect("items");
            assert_eq!(items.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["bare", "red"]);
            assert_eq!(damage.records, [("items".to_owned(), "blue".to_owned())], "format {format}");
            assert_eq!(store.heads().expect("heads").0.len(), heads, "format {format}");
        }
    }
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let store = Store::open(store_in(folder.path())).expect("opens");
        store.write(|t| set_number(t, "format", FORMAT + 1)).expect("written");
    }
    let refused = Store::open(store_in(folder.path())).err().expect("refused");
    assert!(matches!(refused, StoreError::Format { found } if found == FORMAT + 1), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("newer program") && said.contains("backup"), "it says what to do: {said}");
}

/// A catalogue that the program of format 2 wrote (`fixture.rs`).
#[test]
fn a_catalogue_of_format_2_opens() {
    opens_with_all_it_had(2);
}

/// The same that the program of format 3 wrote.
#[test]
fn a_catalogue_of_format_3_opens() {
    opens_with_all_it_had(3);
}

fn opens_with_all_it_had(format: u64) {
    let folder = tempfile::tempdir().expect("folder");
    copy_fixture(format, folder.path());
    for _ in 0..2 {
        let store = Store::open(store_in(folder.path())).expect("opens");
        let (items, damage) = store.items().expect("items");
        assert!(items.iter().all(|(_, item)| item.fields.is_empty()), "fields came with format 4");
        assert!(damage.is_none(), "{damage:?}");
        assert_eq!(items.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["bare", "blue", "red"]);
        assert_eq!(items[1].1.parts_case, Some(StoredPartsCase::Sleeved));
        assert_eq!(items[2].1.labels, Labels::from([("style".into(), "striped".into())]));
        assert_eq!(store.image("red").expect("read"), Some(vec![4; 70]));
        let heads = store.heads().expect("heads").0;
        let states: Vec<_> = heads.into_iter().map(|(key, head)| (key, head.version, head.state)).collect();
        let failed = StoredState::Failed("no finite signature".into());
        assert_eq!(states, [("style-1".into(), 1, StoredState::Active), ("style-2".into(), 2, failed)]);
        assert_eq!(store.models().expect("models").0[0].1.heads, ["style-1"]);
        assert_eq!(store.bundle("tests/1/backbone").expect("read"), Some(vec![2; 50]));
        assert_eq!(store.generation().expect("read"), 3);
        let mut signed = 0;
        store.signatures("style-1", 3, |_, _| signed += 1).expect("read");
        assert_eq!(signed, 3);
        for key in ["ann", "\u{1f}shop\u{1f}zoe"] {
            let profile = store.profile(key).expect("read").expect("there");
            assert_eq!((profile.version, profile.undo_steps), (3, 2), "{key}");
            assert_eq!((profile.current.weights["style"], profile.current.picked_ids.len()), (3.0, 2));
        }
    }
    let store = Store::open(store_in(folder.path())).expect("opens");
    for wanted in [2.0, 1.0] {
        let keys = ProfileKeys { own: "ann", unowned: None };
        let none = RequestKey { id: "", request: RequestHash::NONE };
        let undone = store.change_profile::<StoreError>(keys, none, |_, _| Ok(ProfileChange::Undo));
        assert_eq!(undone.expect("undone").expect("there").current.weights["style"], wanted);
    }
}

/// The receipts of a fixture: a request's id, and what it led to.
fn receipts(store: &Store) -> [(&'static str, Outcome); 5] {
    let profile = store.profile("ann").expect("read");
    [
        ("upsert", Outcome::Upserted(true)),
        ("delete", Outcome::Deleted(vec!["gone".into()])),
        ("model", Outcome::Model("tests/1".into())),
        ("head", Outcome::Head("style".into(), 1)),
        ("profile", Outcome::Profile(profile)),
    ]
}

/// What a repeated request is answered with.
fn ask(
    store: &Store,
    id: &str,
    request: ContentId,
    message: ContentId,
) -> Result<Option<Outcome>, StoreError> {
    store.outcomes(&[(id, RequestHash { request, message })]).expect("read").remove(0)
}

/// Their hash was of the message alone, and later of the method and the message; the format does not tell which.
#[test]
fn receipts_of_format_2_answer_a_repeated_request_by_either_hash() {
    let folder = tempfile::tempdir().expect("folder");
    copy_fixture(2, folder.path());
    let store = Store::open(store_in(folder.path())).expect("opens");
    let other = ContentId::of(b"another request");
    let ask = |id, request, message| ask(&store, id, request, message);
    for (id, outcome) in receipts(&store) {
        assert_eq!(ask(id, other, request()).expect("of the message"), Some(outcome.clone()));
        assert_eq!(ask(id, request(), other).expect("of the method and the message"), Some(outcome));
        assert!(matches!(ask(id, other, other), Err(StoreError::RequestId(_))), "{id}");
    }
}

/// Their hash is of the method and the message.
#[test]
fn receipts_of_format_3_answer_a_repeated_request() {
    let folder = tempfile::tempdir().expect("folder");
    copy_fixture(3, folder.path());
    let store = Store::open(store_in(folder.path())).expect("opens");
    let other = ContentId::of(b"another request");
    let ask = |id, request, message| ask(&store, id, request, message);
    for (id, outcome) in receipts(&store) {
        assert_eq!(ask(id, request(), other).expect("of the method and the message"), Some(outcome));
        assert!(matches!(ask(id, other, request()), Err(StoreError::RequestId(_))), "{id}");
    }
}

/// Format 4 has no table of its own: the catalogue is taken for one of format 3, and the step from there harms nothing.
#[test]
fn fields_survive_a_damaged_number_of_the_format() {
    let folder = tempfile::tempdir().expect("folder");
    let of_today = StoreConfig { receipts_max: 100, ..store_in(folder.path()) };
    let store = Store::open(of_today.clone()).expect("opens");
    fill(&store);
    let before = store.items().expect("items");
    assert_eq!(before.0.iter().filter(|(_, item)| item.fields == fields()).count(), 2);
    drop(store);
    for _ in 0..2 {
        overwrite(folder.path(), "about", "format", &[1; 9]);
        let store = Store::open(of_today.clone()).expect("opens");
        assert_eq!(store.items().expect("items"), before);
        let asked = RequestHash { request: request(), message: request() };
        let receipt = store.outcomes(&[("filter", asked)]).expect("read").remove(0).expect("its own");
        assert_eq!(receipt, Some(Outcome::DeletedByFilter { items: 2, first_ids: vec!["gone".into()] }));
    }
}

/// As where the page of an item cannot be copied while the catalogue is brought up.
#[test]
fn an_item_that_was_left_in_format_3_is_damaged_and_heals_when_it_is_written() {
    let folder = tempfile::tempdir().expect("folder");
    drop(Store::open(store_in(folder.path())).expect("opens"));
    let left = crate::formats::two::ItemRecord {
        labels: Labels::from([("style".into(), "plain".into())]),
        image: None,
        parts_case: None,
        updated_ms: 0,
    };
    overwrite(folder.path(), "items", "a", &sealed::encode("items", "a", &left));
    let store = Store::open(store_in(folder.path())).expect("opens");
    let (items, damage) = store.items().expect("items");
    assert!(items.is_empty() && damage.records == [("items".to_owned(), "a".to_owned())], "{damage:?}");
    apply(&store, &[put("a", 1.0)]);
    assert_eq!(store.items().expect("items"), (vec![("a".to_owned(), record())], Damage::default()));
}
