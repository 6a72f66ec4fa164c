//! Files of data sets: the field's format and `labels.csv`.

use lapel_train::dataset::{Collection, DataSet, FieldSet, PhotoSet, label_numbers};

/// Between the files, which come in the order of [`FILES`].
const SEPARATOR: &str = "%%\n";
/// The files; an empty one is not there.
const FILES: [&str; 12] = [
    "attr_num.txt",
    "attr_names.txt",
    "imgs_train.txt",
    "imgs_test.txt",
    "labels_train.txt",
    "labels_test.txt",
    "triplet_train.txt",
    "triplet_train_ind.txt",
    "ref_test.txt",
    "indfull_test.txt",
    "gt_test.txt",
    "labels.csv",
];

/// Reads the files of a data set: `attr_num.txt` to `gt_test.txt` of the field's format, then `labels.csv`, with a line of
/// `%%` between them.
///
/// # Panics
/// When that fails in a way that is no error of the reader's, or gives numbers that name nothing.
pub fn dataset(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rest = bytes;
    for name in FILES {
        let separator = SEPARATOR.as_bytes();
        let at = rest.windows(separator.len()).position(|window| window == separator);
        let (file, after) = at.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + separator.len()..]));
        if !file.is_empty() {
            std::fs::write(folder.path().join(name), file).expect("written");
        }
        rest = after;
    }
    if let Ok(set) = PhotoSet::read(folder.path()) {
        check(set.collection());
    }
    let Ok(set) = FieldSet::read(folder.path(), folder.path()) else { return };
    check(set.collection());
    let labels = set.attributes();
    let training = set.triplets().iter().map(|t| (&t.manipulation, set.training().len()));
    for (manipulation, count) in training.chain(set.manipulations().iter().map(|m| (m, set.test().len()))) {
        assert!(
            manipulation.reference < count && manipulation.wanted.len() == labels.len(),
            "{manipulation:?}"
        );
        for (attribute, label) in manipulation.added.iter().chain(&manipulation.removed) {
            assert!(usize::from(*label) < labels[*attribute].labels.len(), "{manipulation:?}");
        }
    }
    for triplet in set.triplets() {
        assert!(triplet.positive.max(triplet.negative) < set.training().len(), "{triplet:?}");
    }
}

fn check(collection: &Collection) {
    for example in collection.training.iter().chain(&collection.test) {
        let numbers = label_numbers(&example.labels, &collection.attributes);
        assert_eq!(numbers.len(), collection.attributes.len());
    }
}
