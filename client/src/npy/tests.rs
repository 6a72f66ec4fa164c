use super::*;
use proptest::prelude::*;

/// A file of a version with this header and these bytes behind it.
fn file(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend(u16::try_from(header.len()).expect("short").to_le_bytes()),
        _ => file.extend(u32::try_from(header.len()).expect("short").to_le_bytes()),
    }
    file.extend(header.as_bytes());
    file.extend(numbers);
    file
}

fn header_of(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}   \n")
}

fn open(file: &[u8]) -> Result<NpyReader<&[u8]>, NpyError> {
    NpyReader::new(file, file.len() as u64)
}

fn rows(file: &[u8]) -> Vec<Vec<f32>> {
    let mut reader = open(file).expect("sound");
    std::iter::from_fn(|| reader.next_row().expect("read")).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn rows_of_every_version_and_both_types_are_read() {
    let values = [1.0, 2.0, -3.5, 0.25, 5.0, 6.0];
    let doubles: Vec<u8> = values.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
    for version in 1..=3 {
        for (descr, numbers) in [("<f4", f32s(&values)), ("<f8", doubles.clone())] {
            let file = file(version, &header_of(descr, "False", "(2, 3)"), &numbers);
            let reader = open(&file).expect("sound");
            assert_eq!((reader.items(), reader.dim()), (2, 3));
            assert_eq!(rows(&file), [[1.0, 2.0, -3.5], [0.25, 5.0, 6.0]], "version {version}, {descr}");
        }
    }
}

#[test]
fn what_numpy_writes_in_other_ways_is_read_too() {
    let other = "{\"shape\":(1,2),\"fortran_order\":True,\"descr\":\"<f4\"}";
    assert_eq!(rows(&file(1, other, &f32s(&[1.0, 2.0]))), [[1.0, 2.0]], "one row is in both orders");
    let none: [Vec<f32>; 0] = [];
    assert_eq!(rows(&file(1, &header_of("<f4", "False", "(0, 3)"), &[])), none);
}

#[test]
fn every_fault_has_its_own_words() {
    let numbers = f32s(&[1.0; 6]);
    let with = |descr: &str, order: &str, shape: &str| file(1, &header_of(descr, order, shape), &numbers);
    let cases = [
        (b"PK\x03\x04 is a zip file".to_vec(), "no NPY file"),
        (Vec::new(), "no NPY file"),
        (file(4, "", &[]), "version 4"),
        (with(">f4", "False", "(2, 3)"), "float32 (\">f4\", big-endian)"),
        (with("<f2", "False", "(2, 3)"), "float16"),
        (with("<i8", "False", "(2, 3)"), "integers"),
        (with("<U7", "False", "(2, 3)"), "\"<U7\""),
        (with("<f4", "True", "(2, 3)"), "Fortran order"),
        (with("<f4", "False", "(6,)"), "the shape [6]"),
        (with("<f4", "False", "()"), "the shape []"),
        (with("<f4", "False", "(1, 2, 3)"), "the shape [1, 2, 3]"),
        (with("<f4", "False", "(2, 0)"), "at least one number"),
        (with("<f4", "False", "(3, 3)"), "its 3 rows of 3 numbers make"),
        (with("<f4", "False", "(1, 3)"), "its 1 rows of 3 numbers make"),
        (with("<f4", "False", "(2, -3)"), "other than whole numbers"),
        (with("<f4", "False", "(2, +3)"), "other than whole numbers"),
        (with("<f4", "False", "(2,, 3)"), "other than whole numbers"),
        (with("<f4", "maybe", "(2, 3)"), "neither True nor False"),
        (with("<f4", "False", "[2, 3]"), "no tuple"),
        (file(1, "{'descr': [('a', '<f4')], }", &[]), "structured array"),
        (file(1, "{'descr': '<f4', }", &[]), "lacks one of"),
        (file(1, "{'colour': 'red'}", &[]), "a key that is none of"),
        (file(1, "{'descr': '<f4", &[]), "has no end"),
        (file(1, "[]", &[]), "no dictionary"),
        (b"\x93NUMPY\x01\x00\x90\x00{'descr'".to_vec(), "ends within it"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "4294967295 bytes"),
    ];
    for (file, why) in cases {
        let error = open(&file).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn huge_shapes_take_no_memory() {
    for shape in [
        "(18446744073709551615, 18446744073709551615)",
        "(4611686018427387904, 4)",
        "(1, 4611686018427387903)",
        "(1000000000000, 1)",
        "(1, 1000000000000)",
    ] {
        let file = file(1, &header_of("<f4", "False", shape), &[]);
        let error = open(&file).expect_err("refused");
        assert!(matches!(error, NpyError::Length { .. }), "{shape}: {error}");
    }
    // More digits than a number has.
    let shape = format!("(1, {})", "9".repeat(1000));
    assert!(open(&file(1, &header_of("<f4", "False", &shape), &[])).is_err());
    // Without rows there is nothing to be held.
    let none: [Vec<f32>; 0] = [];
    assert_eq!(rows(&file(1, &header_of("<f4", "False", "(0, 4611686018427387903)"), &[])), none);
    let many = format!("({})", "1, ".repeat(65));
    assert!(open(&file(1, &header_of("<f4", "False", &many), &[])).is_err());
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let file = file(1, &header_of("<f4", "False", "(2, 3)"), &f32s(&[1.0; 6]));
    let cut = &file[..file.len() - 1];
    let mut reader = NpyReader::new(cut, file.len() as u64).expect("sound so far");
    assert!(reader.next_row().is_ok());
    assert!(matches!(reader.next_row(), Err(NpyError::Io(_))));
}

/// Reads all of a file, whatever it is.
fn read_all(bytes: &[u8]) {
    if let Ok(mut reader) = open(bytes) {
        while let Ok(Some(row)) = reader.next_row() {
            assert_eq!(row.len(), reader.dim());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
        read_all(&[b"\x93NUMPY".as_slice(), &bytes].concat());
    }

    #[test]
    fn any_header_is_read_or_refused(
        version in 1_u8..=3,
        text in "[{}()\\[\\],:'\" a-z0-9<>TrueFalse-]{0,120}",
        numbers in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        read_all(&file(version, &text, &numbers));
    }

    #[test]
    fn any_shape_is_read_or_refused(items in any::<u64>(), dim in any::<u64>(), bytes in 0_usize..64) {
        let shape = format!("({items}, {dim})");
        read_all(&file(1, &header_of("<f8", "False", &shape), &vec![0; bytes]));
    }

    #[test]
    fn what_is_written_comes_back(
        version in 1_u8..=3,
        table in (1_usize..9).prop_flat_map(|dim| {
            prop::collection::vec(prop::collection::vec(-1e30_f32..1e30, dim..=dim), 1..9)
        }),
    ) {
        let shape = format!("({}, {})", table.len(), table[0].len());
        let numbers: Vec<u8> = table.iter().flat_map(|row| f32s(row)).collect();
        prop_assert_eq!(rows(&file(version, &header_of("<f4", "False", &shape), &numbers)), table);
    }
}
