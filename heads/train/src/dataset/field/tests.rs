use super::*;
use crate::dataset::{RenderSet, write_field_set};
use proptest::prelude::*;

/// Two attributes of two and three values, three training and two test pictures.
const FILES: [(&str, &str); 10] = [
    ("attr_num.txt", "2 3\n"),
    ("imgs_train.txt", "a.jpg\nb.jpg\nc/d.jpg\n"),
    ("labels_train.txt", "1 0 0 1 0\n0 1 0 1 0\n0 0 0 0 1\n"),
    ("imgs_test.txt", "e.jpg\nf.jpg\n"),
    ("labels_test.txt", "1 0 0 1 0\n0 1 0 0 0\n"),
    ("triplet_train.txt", "0 1 2\n"),
    ("triplet_train_ind.txt", "-1 1 0 0 0\n"),
    ("ref_test.txt", "0\n1\n"),
    ("indfull_test.txt", "0 0 1 -1 0\n0 0 0 0 1\n"),
    ("gt_test.txt", "1.0 0 1 0 0\n0 1 0 0 1\n"),
];

fn read(changed: &[(&str, &str)]) -> Result<FieldSet, FieldError> {
    let folder = tempfile::tempdir().expect("folder");
    for (name, text) in FILES.iter().chain(changed) {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    FieldSet::read(folder.path(), Path::new("/pictures"))
}

#[test]
fn the_format_is_read_as_published() {
    let set = read(&[]).expect("sound");
    assert_eq!(set.attributes()[1].labels.len(), 3);
    assert_eq!(set.training().len(), 3);
    assert_eq!(set.training()[2].source, Source::Photo("/pictures/c/d.jpg".into()));
    let labels = &set.training()[2].labels;
    assert_eq!(labels.get("attribute 1"), None, "a block of zeros is a missing label");
    assert_eq!(labels["attribute 2"], "value 3");
    let triplet = &set.triplets()[0];
    assert_eq!((triplet.positive, triplet.negative), (1, 2));
    assert_eq!(
        (&triplet.manipulation.added[..], &triplet.manipulation.removed[..]),
        (&[(0, 1)][..], &[(0, 0)][..])
    );
    let [swap, gain] = set.manipulations() else { panic!("two queries") };
    assert_eq!(swap.wanted, [Some(0), Some(0)]);
    assert_eq!((&gain.added[..], gain.removed.len()), (&[(1, 2)][..], 0), "a label where none was known");
    let named = read(&[("attr_names.txt", "collar: polo, hood\ncolor: red, blue, green\n")]).expect("sound");
    assert_eq!(
        named.attributes()[1],
        Attribute { name: "color".into(), labels: vec!["red".into(), "blue".into(), "green".into()] }
    );
}

/// A set of Shopping100k's shape with two training pictures and one test picture, labelled with the values in `rows`.
fn shopping(rows: [[usize; 12]; 3], names: Option<&str>) -> FieldSet {
    let counts = [16, 17, 19, 14, 10, 15, 2, 11, 16, 7, 9, 15];
    let line = |row: &[usize; 12]| {
        let bits = counts
            .iter()
            .zip(row)
            .flat_map(|(count, one)| (0..*count).map(move |value| if value == *one { "1" } else { "0" }));
        bits.collect::<Vec<_>>().join(" ") + "\n"
    };
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("attr_num.txt", "16 17 19 14 10 15 2 11 16 7 9 15\n");
    write("imgs_train.txt", "a.jpg\nb.jpg\n");
    write("labels_train.txt", &(line(&rows[0]) + &line(&rows[1])));
    write("imgs_test.txt", "c.jpg\n");
    write("labels_test.txt", &line(&rows[2]));
    if let Some(names) = names {
        write("attr_names.txt", names);
    }
    FieldSet::read(folder.path(), folder.path()).expect("sound")
}

#[test]
fn the_papers_data_set_is_known_by_its_shape() {
    let rows = [[0; 12], [1; 12], [1; 12]];
    let set = shopping(rows, None);
    let names: Vec<&str> = set.attributes().iter().map(|a| a.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[10]), (12, "category", "sleeve_length"));
    assert_eq!(set.attributes().iter().map(|a| a.labels.len()).sum::<usize>(), 151);
    assert_eq!(set.training()[1].labels["sleeve_length"], "value 2");
    let tells_parts = |set: &FieldSet| {
        set.training().iter().chain(set.test()).filter(|e| e.labels.contains_key(PARTS_ATTRIBUTE)).count()
    };
    assert_eq!(tells_parts(&set), 0, "nobody knows whether value 2 has sleeves");
    let written = |a: &Attribute| {
        let first = if a.name == "sleeve_length" { ["long", "strapless"] } else { ["value 1", "value 2"] };
        let labels = first.into_iter().chain(a.labels[2..].iter().map(String::as_str)).collect::<Vec<_>>();
        // Names that the file gives are taken as they are.
        format!("{}: {}\n", if a.name == "sport" { "sports" } else { &a.name }, labels.join(", "))
    };
    let named = shopping(rows, Some(&set.attributes().iter().map(written).collect::<String>()));
    assert_eq!((named.attributes()[11].name.as_str(), tells_parts(&named)), ("sports", 3));
    assert_eq!(named.training()[0].labels[PARTS_ATTRIBUTE], "sleeved");
    assert_eq!(named.training()[1].labels[PARTS_ATTRIBUTE], "sleeveless");
}

#[test]
fn malformed_files_are_named_with_line_and_reason() {
    let cases = [
        ("attr_num.txt", "2 x\n", "attr_num.txt, line 1: \"x\" is no whole number"),
        ("attr_num.txt", "", "attr_num.txt: it is empty"),
        (
            "labels_train.txt",
            "1 0 0 1 0\n1 1 0 1 0\n0 0 0 0 1\n",
            "labels_train.txt, line 2: attribute 1 has 2 labels",
        ),
        (
            "labels_test.txt",
            "1 0 0 1 0\n0 1 0 2 0\n",
            "labels_test.txt, line 2: 2 among the labels of attribute 2",
        ),
        (
            "labels_test.txt",
            "1 0 0 1 0\n0 1 0 0\n",
            "labels_test.txt, line 2: 4 numbers; attr_num.txt asks for 5",
        ),
        ("labels_test.txt", "1 0 0 1 0\n", "labels_test.txt: 1 lines, but"),
        ("imgs_test.txt", "e.jpg\n../f.jpg\n", "imgs_test.txt, line 2: \"../f.jpg\" is no path inside"),
        ("triplet_train.txt", "0 1 3\n", "triplet_train.txt, line 1: 3 names no picture; there are 3"),
        ("triplet_train.txt", "0 1\n", "triplet_train.txt, line 1: three numbers"),
        (
            "triplet_train_ind.txt",
            "1 -1 0 0 0\n",
            "line 1: attribute 1 loses \"value 2\", which the reference",
        ),
        (
            "indfull_test.txt",
            "0 0 1 -1 1\n0 0 0 0 1\n",
            "indfull_test.txt, line 1: attribute 2 gains 2 labels",
        ),
        ("indfull_test.txt", "0 0 0 0 0\n0 0 0 0 1\n", "indfull_test.txt, line 1: nothing is added"),
        ("gt_test.txt", "1 0 0 1 0\n0 1 0 0 1\n", "gt_test.txt, line 1: attribute 2 is not \"value 1\""),
        ("ref_test.txt", "0\n-1\n", "ref_test.txt, line 2: -1 names no picture"),
        (
            "attr_names.txt",
            "collar: polo\ncolor: a, b, c\n",
            "attr_names.txt, line 1: 1 names for the 2 values",
        ),
        (
            "attr_names.txt",
            "collar polo, hood\ncolor: a, b, c\n",
            "attr_names.txt, line 1: a \":\" is missing",
        ),
    ];
    for (file, text, wanted) in cases {
        let found = read(&[(file, text)]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(found.contains(wanted), "{file}: {found}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().expect("folder");
    let set = RenderSet::new(5, 40, 60);
    write_field_set(&set, folder.path(), (30, 50, 1), || {}).expect("written");
    let found = FieldSet::read(folder.path(), folder.path()).expect("read");
    assert_eq!(found.attributes(), set.attributes());
    assert_eq!((found.training().len(), found.test().len()), (40, 60));
    for (a, b) in found.test().iter().zip(set.test()) {
        let known = |e: &Example| crate::dataset::label_numbers(&e.labels, set.attributes());
        assert_eq!(known(a), known(b));
    }
    let photo = found.test()[3].photo().expect("a JPEG");
    assert_eq!(photo.width(), lapel_render::WIDTH);
}

proptest! {
    /// Whatever stands in a file, reading ends in a set or an error.
    #[test]
    fn any_file_is_read_or_refused(which in 0..FILES.len(), text in "[-01 2.x\n]{0,60}") {
        let _ = read(&[(FILES[which].0, &text)]);
    }
}
