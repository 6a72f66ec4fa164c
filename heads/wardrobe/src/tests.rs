use super::*;

fn table(bytes: impl AsRef<[u8]>) -> Result<Vec<LabelledPhoto>, TableFault> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join(TABLE), bytes).expect("written");
    read(folder.path()).map_err(|error| error.fault)
}

fn refusal(bytes: impl AsRef<[u8]>) -> String {
    table(bytes).expect_err("refused").to_string()
}

/// Names, and labels as `attribute=label`.
fn brief(photos: &[LabelledPhoto]) -> Vec<String> {
    let labels = |p: &LabelledPhoto| p.labels.iter().map(|(a, l)| format!(" {a}={l}")).collect::<String>();
    photos.iter().map(|photo| format!("{}{}", photo.name, labels(photo))).collect()
}

#[test]
fn tables_as_spreadsheets_save_them_are_one_table() {
    let plain = "image,color,pattern\r\n0.jpg,red,plain\r\nb/1.jpg,blue,striped\r\n2.jpg,,checked\r\n";
    let expected =
        ["0.jpg color=red pattern=plain", "b/1.jpg color=blue pattern=striped", "2.jpg pattern=checked"];
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(unit).collect::<Vec<u8>>()
    };
    let semicolons = plain.replace(',', ";");
    let forms: [(&str, Vec<u8>); 19] = [
        ("commas", plain.into()),
        ("byte order mark", format!("\u{feff}{plain}").into()),
        ("semicolons", semicolons.clone().into()),
        ("semicolons with a mark", format!("\u{feff}{semicolons}").into()),
        ("tabs", plain.replace(',', "\t").into()),
        ("sep=", format!("sep=;\r\n{semicolons}").into()),
        ("sep= in quotes", format!("\"sep=;\"\r\n{semicolons}").into()),
        ("sep= in capitals, with a space", format!("SEP=; \r\n{semicolons}").into()),
        ("sep= as a row", format!("sep=;;;\r\n{semicolons}").into()),
        ("sep= with a tab", format!("sep=\t\r\n{}", plain.replace(',', "\t")).into()),
        ("sep= with a tab's letters", format!("sep=\\t\r\n{}", plain.replace(',', "\t")).into()),
        ("sep= of a table that was saved again", format!("\"sep=;\",,\r\n{plain}").into()),
        ("an odd sep=", format!("sep=|\r\n{}", plain.replace(',', "|")).into()),
        ("UTF-16, low byte first", utf16(plain, u16::to_le_bytes)),
        ("UTF-16, high byte first", utf16(plain, u16::to_be_bytes)),
        ("spaces", plain.replace(',', " , ").into()),
        ("capital header", plain.replace("image", "Image").into()),
        (
            "empty lines and cells at the end",
            format!("{}\r\n,,\r\n ,,\r\n", plain.replace('\n', "\n\n")).into(),
        ),
        ("Windows' paths", plain.replace("b/1", ".\\b\\1").replace("0.jpg", "./0.jpg").into()),
    ];
    for (form, bytes) in forms {
        assert_eq!(brief(&table(bytes).expect(form)), expected, "{form}");
    }
}

#[test]
fn columns_that_name_a_photo_are_no_attributes() {
    let rows = table("ID,view,image,Split,Mood\nx 1,folded,a/b.c.jpg,val,calm\n,,d.jpg\n").expect("read");
    assert_eq!(brief(&rows), ["a/b.c.jpg Mood=calm", "d.jpg"]);
    let told: Vec<(&str, bool, &str)> =
        rows.iter().map(|row| (row.id.as_str(), row.has_own_id, row.split.as_str())).collect();
    assert_eq!(told, [("x 1", true, "val"), ("d", false, "")]);
    assert_eq!(photo_id(Path::new("a/b.c.jpg")), "b.c");
}

#[test]
fn a_row_that_cannot_be_meant_leaves_the_others_as_they_are() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join(TABLE);
    std::fs::write(&file, "image,color\na.jpg,red\nb.jpg,red,blue\n,red\nc.jpg\n").expect("written");
    let rows = read_rows(&file, folder.path()).expect("read");
    let told: Vec<String> = rows
        .iter()
        .map(|row| row.as_ref().map_or_else(ToString::to_string, |photo| photo.id.clone()))
        .collect();
    assert_eq!((told[0].as_str(), told[3].as_str()), ("a", "c"), "{told:?}");
    assert!(
        told[1].starts_with("line 3 has the value") && told[2].starts_with("line 4 has values"),
        "{told:?}"
    );
}

#[test]
fn every_row_that_cannot_be_meant_has_its_line() {
    // So many that counting the lines from the beginning for each of them would take minutes.
    const ROWS: usize = 300_000;
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join(TABLE);
    std::fs::write(&file, format!("image,color\r\n{}", ",red\r\n\r\n".repeat(ROWS))).expect("written");
    let rows = read_rows(&file, folder.path()).expect("read");
    assert_eq!(rows.len(), ROWS);
    for (at, row) in rows.iter().enumerate() {
        assert!(matches!(row, Err(TableFault::NoImage { line }) if *line == 2 * at + 2), "{at}: {row:?}");
    }
}

#[test]
fn a_file_whose_name_differs_by_its_unicode_form_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let apart = folder.path().join("Gro\u{308}ße-M-rot.jpg");
    std::fs::write(&apart, "photo").expect("written");
    std::fs::write(folder.path().join(TABLE), "image,color\nGr\u{f6}ße-M-rot.jpg,red\n").expect("written");
    let rows = read(folder.path()).expect("read");
    assert_eq!((&rows[0].path, rows[0].id.as_str()), (&apart, "Gr\u{f6}ße-M-rot"));
}

#[test]
fn photos_lie_in_images_where_that_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join(TABLE), "image\na.jpg\n").expect("written");
    let path = || read(folder.path()).expect("read")[0].path.clone();
    assert_eq!(path(), folder.path().join("a.jpg"));
    std::fs::create_dir(folder.path().join("images")).expect("made");
    assert_eq!(path(), folder.path().join("images/a.jpg"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_would_be_right() {
    let none = refusal("Bild;Farbe\na.jpg;rot\n");
    assert!(none.contains("no column \"image\" (found \"Bild\", \"Farbe\")"), "{none}");
    assert!(refusal("").contains("found nothing"));
    assert!(refusal("image,color,color\na.jpg,red,blue\n").contains("the column \"color\" twice"));
    assert!(refusal("image,Image\na.jpg,b.jpg\n").contains("the column \"image\" twice"));
    for (rows, line) in [("a.jpg,red,blue\n", 2), ("a.jpg,red\r\n\r\n,\r\nb.jpg,red,blue\r\n", 5)] {
        let extra = refusal(format!("image,color\n{rows}"));
        assert!(extra.contains(&format!("line {line} has the value \"blue\" in column 3")), "{extra}");
    }
    let open = refusal("image,color\na.jpg,\"red\nb.jpg,blue\nc.jpg,green\n");
    assert!(open.contains("line 2: a cell that begins \"red") && open.contains("never closed"), "{open}");
    assert!(refusal("image,color\na.jpg,re\u{1b}d\n").contains("control character"));
    for outside in ["/etc/passwd", "../a.jpg", "b/../../a.jpg"] {
        let text = refusal(format!("image,color\n{outside},red\n"));
        assert!(text.contains("is not in the folder of photos"), "{text}");
    }
    assert!(table("image,color,,\na.jpg,red,,\n").is_ok(), "columns without a name and without values");
    assert!(refusal("sep=,\nimage,color\na.jpg,\n,red\n").contains("line 4 has values but no \"image\""));
    assert!(refusal(b"image,color\na.jpg,red\nb.jpg,m\xe9lange\n").contains("line 3 is not UTF-8"));
    // A lone half of a pair, and half a unit.
    assert!(refusal(b"\xff\xfei\0\n\0\x00\xd8a\0").contains("line 2 is not"));
    assert!(refusal(b"\xff\xfei\0\n").contains("line 1 is not"));
    assert!(matches!(read(Path::new("/nowhere")), Err(WardrobeError { fault: TableFault::Io(_), .. })));
}

#[test]
fn columns_of_fields_are_no_labels() {
    let rows = table("image,color,field:price:number\na.jpg,red,49.90\nb.jpg,,\n").expect("read");
    assert_eq!((rows[0].labels.len(), rows[0].fields["price:number"].as_str()), (1, "49.90"));
    assert!(rows[1].labels.is_empty() && rows[1].fields.is_empty());
}
