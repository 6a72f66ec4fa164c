//! Files that are not read when they are opened.

use super::*;

pub(super) fn known(group: u32, place: &Place) -> KnownPlace {
    KnownPlace { group, number: place.number(), epoch: place.epoch() }
}

fn open_known(path: &Path, known: &[KnownPlace]) -> Result<(Arc<RowFile>, Vec<Place>), RowFileError> {
    RowFile::open_known(path, "key", (DIM, Precision::F32), Arc::new(|| Ok(())), known)
}

/// A file of five groups, and where they lie.
fn filled(path: &Path) -> Vec<KnownPlace> {
    let opened = open(path, Precision::F32);
    let places: Vec<Place> =
        (0..5).map(|group| store(&opened.file, group, &rows_of(group), u64::MAX).expect("stored")).collect();
    (0..).zip(&places).map(|(group, place)| known(group, place)).collect()
}

fn is_unknown<T>(opened: &Result<T, RowFileError>) -> bool {
    matches!(opened, Err(RowFileError::UnknownPlaces))
}

#[test]
fn what_is_not_as_it_is_known_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    let places = filled(&path);
    let bytes = std::fs::read(&path).expect("read");
    let other = |at: usize, change: &dyn Fn(&mut KnownPlace)| {
        let mut places = places.clone();
        change(&mut places[at]);
        places
    };
    for (what, places) in [
        ("the header", other(2, &|place| place.number = 0)),
        ("behind the end", other(2, &|place| place.number = 6)),
        ("far behind the end", other(4, &|place| place.number = u32::MAX)),
        ("two groups in one place", other(3, &|place| place.number = 1)),
        ("no next epoch", other(0, &|place| place.epoch = u64::MAX)),
    ] {
        assert!(is_unknown(&open_known(&path, &places)), "{what}");
    }
    for (key, shape) in
        [("other", (DIM, Precision::F32)), ("key", (DIM + 1, Precision::F32)), ("key", (DIM, Precision::F16))]
    {
        let opened = RowFile::open_known(&path, key, shape, Arc::new(|| Ok(())), &places);
        assert!(is_unknown(&opened), "{key} {shape:?}");
    }
    assert_eq!(std::fs::read(&path).expect("read"), bytes);
    assert_eq!(open(&path, Precision::F32).found.len(), 5);
    assert!(is_unknown(&open_known(&path.with_extension("none"), &places)));
    let file = File::options().write(true).open(&path).expect("there");
    file.set_len(bytes.len() as u64 - 1).expect("shortened");
    assert!(is_unknown(&open_known(&path, &places)));
    assert_eq!(open(&path, Precision::F32).found.len(), 4);
}

#[test]
fn places_that_are_not_known_are_free_and_new_ones_are_later_than_all() {
    let (_folder, path) = folder();
    let places = filled(&path);
    // Written since, where the fourth was.
    let opened = open(&path, Precision::F32);
    let fourth = places[3].number;
    let mut found = opened.found;
    drop(found.take(3));
    let taken = store(&opened.file, 9, &rows_of(70), u64::MAX).expect("stored");
    assert!(taken.number() == fourth && taken.epoch() > places[3].epoch);
    drop((found, taken, opened.file));
    let (file, there) = open_known(&path, &[places[1], places[3]]).expect("all are in the file");
    assert_eq!(file.bytes(), 2 * file.layout.place_bytes as u64);
    assert!(has(&there[0], &rows_of(1), u64::MAX) && !there[0].is_damaged());
    assert_eq!(row(&there[1], 0), None, "it is another group's");
    assert!(there[1].is_damaged() && file.faults() > 0);
    // A group that was in the file, of which that was not known.
    let again = store(&file, 2, &rows_of(80), u64::MAX).expect("stored");
    assert!(again.number() == places[0].number && has(&again, &rows_of(80), u64::MAX));
    drop((there, again, file));
    let mut found = open(&path, Precision::F32).found;
    assert!(has(&found.take(2).expect("found"), &rows_of(80), u64::MAX), "the last is found");
}

#[test]
fn epochs_go_on_where_a_file_was_shortened() {
    let (_folder, path) = folder();
    let places = filled(&path);
    std::fs::File::options().write(true).open(&path).expect("there").set_len(0).expect("emptied");
    let last = places.iter().map(|place| place.epoch).max().expect("five");
    let opened = open(&path, Precision::F32);
    assert!(opened.file.reserve(0).expect("room").epoch() > last);
    drop(opened);
    let (file, _) = open_known(&path, &[]).expect("of nothing");
    assert!(file.reserve(0).expect("room").epoch() > last);
    // Whatever the clock says.
    let ahead = u64::MAX / 4;
    let known = KnownPlace { group: 0, number: 1, epoch: ahead };
    drop(file);
    let (file, _places) = open_known(&path, &[known]).expect("there is one");
    assert!(file.reserve(1).expect("room").epoch() > ahead);
}

#[test]
fn a_file_is_begun_where_nothing_is_known_of_it() {
    let (_folder, path) = folder();
    let (file, _) = open_known(&path, &[]).expect("made");
    let place = store(&file, 4, &rows_of(5), u64::MAX).expect("stored");
    assert!(has(&place, &rows_of(5), u64::MAX));
    drop((place, file));
    // One of another column is of no use to anybody.
    let opened = RowFile::open_known(&path, "other", (DIM, Precision::F32), Arc::new(|| Ok(())), &[]);
    assert_eq!(opened.expect("begun").0.bytes(), 0);
    assert!(open(&path, Precision::F32).found.is_empty());
    let fault: BeforeWrite = Arc::new(|| Err(io::ErrorKind::StorageFull.into()));
    let refused = RowFile::open_known(&path, "other", (DIM, Precision::F32), fault, &[]);
    assert!(matches!(refused, Err(RowFileError::DiskFull)));
}
