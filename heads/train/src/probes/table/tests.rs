use super::*;
use lapel_render::{render, to_jpeg};

fn folder(table: &str, photos: &[(&str, u64)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    fs_err::create_dir(folder.path().join("images")).expect("made");
    fs_err::write(folder.path().join("labels.csv"), table).expect("written");
    for (name, index) in photos {
        let jpeg = to_jpeg(&render(5, *index).photo);
        fs_err::write(folder.path().join("images").join(name), jpeg).expect("written");
    }
    folder
}

fn faults(table: &str, photos: &[(&str, u64)]) -> Vec<Fault> {
    Table::read(folder(table, photos).path()).expect("read").faults().to_vec()
}

#[test]
fn a_column_that_would_write_elsewhere_stops() {
    for name in ["../evil", "a/b", "backbone", "extract_parts", "c:d"] {
        let rows = format!("image,split,{name}\na.jpg,train,calm\n");
        let found = faults(&rows, &[("a.jpg", 1)]);
        assert!(
            found.iter().any(|f| f.stops && f.text.contains("can name no head's file")),
            "{name}: {found:?}"
        );
    }
    let found = faults("image,split,sleeve length-2\na.jpg,train,calm\n", &[("a.jpg", 1)]);
    assert!(!found.iter().any(|f| f.text.contains("can name no")), "{found:?}");
}

#[test]
fn what_is_unsound_is_named_and_stops() {
    let table = "image,split,mood\na.jpg,train,calm\nb.jpg,val,loud\nc.jpg,train,Calm\nd.jpg,later,calm\ne.jpg,train,calm\n";
    let found = faults(table, &[("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 2)]);
    let stops = |part: &str| found.iter().any(|f| f.stops && f.text.contains(part));
    assert!(stops("\"Calm\", \"calm\" are one label"), "{found:?}");
    assert!(stops("1 photos have no file: e.jpg"), "{found:?}");
    assert!(stops("the split \"later\""), "{found:?}");
    assert!(stops("contradict each other: a.jpg = b.jpg"), "{found:?}");
    assert!(found.iter().any(|f| !f.stops && f.text.contains("fewer than 8")), "{found:?}");
    assert!(found.is_sorted_by_key(|f| !f.stops));
}

#[test]
fn labels_that_no_bundle_may_hold_stop() {
    let label = "x".repeat(65);
    let rows = format!("image,split,mood\na.jpg,train,{label}\nb.jpg,train,calm\n");
    let found = faults(&rows, &[("a.jpg", 1), ("b.jpg", 2)]);
    assert!(found.iter().any(|f| f.stops && f.text.contains("can be no label")), "{found:?}");
}

#[test]
fn twins_that_contradict_each_other_around_a_third_stop() {
    let table = "image,split,mood\na.jpg,train,calm\nb.jpg,train,\nc.jpg,train,loud\n";
    let found = faults(table, &[("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 1)]);
    let stops = |part: &str| found.iter().any(|f| f.stops && f.text.contains(part));
    assert!(stops("contradict each other: a.jpg = b.jpg = c.jpg"), "{found:?}");
}

#[test]
fn a_table_that_teaches_nothing_stops() {
    let stops = |header: &str, cells: fn(usize) -> &'static str| {
        let rows: String = (0..20).map(|i| format!("{i}.jpg,train,{}\n", cells(i))).collect();
        let found = faults(&format!("image,split{header}\n{rows}"), &[]);
        let texts = found.into_iter().filter(|f| f.stops).map(|f| f.text);
        texts.filter(|text| !text.contains("no file")).collect::<Vec<_>>()
    };
    assert!(stops("", |_| "")[0].contains("no photo to learn from has a label"));
    assert!(stops(",mood", |_| "")[0].contains("no photo to learn from has a label"));
    assert!(stops(",mood", |_| "calm")[0].contains("nothing to learn"));
    let one_rare = |i: usize| if i < 3 { "loud" } else { "calm" };
    assert!(stops(",mood", one_rare)[0].contains("nothing to learn"));
    assert_eq!(stops(",mood", |i| if i < 10 { "loud" } else { "calm" }), [""; 0]);
}

#[test]
fn without_a_split_the_name_decides() {
    let rows: String = (0..40).map(|i| format!("{i}.jpg,calm\n")).collect();
    let table = Table::read(folder(&format!("image,mood\n{rows}"), &[]).path()).expect("read");
    assert_eq!(table.training.len() + table.test.len(), 40);
    assert!((3..16).contains(&table.test.len()), "{}", table.test.len());
}

#[test]
fn near_spellings_are_asked_about() {
    let counts =
        BTreeMap::from([("formal".to_owned(), 40), ("fromal".to_owned(), 1), ("casual".to_owned(), 30)]);
    assert_eq!(near_spellings(&counts), ["formal (40), fromal (1)"]);
}
