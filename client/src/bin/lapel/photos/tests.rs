//! The cases that broke imports of shops: what is in their folders, with a word in place of each photo.

use super::*;
use tempfile::TempDir;

/// A folder with files of these names, each below its own folders, and a table where there is one.
fn folder(names: &[&str], table: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for name in names {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "photo").expect("written");
    }
    if !table.is_empty() {
        std::fs::write(folder.path().join(TABLE), table).expect("written");
    }
    folder
}

fn source(folder: &Path) -> Source {
    Source { folder: folder.to_owned(), labels: None, split: None, prefix: String::new(), pictures: false }
}

fn find(folder: &TempDir) -> anyhow::Result<Photos> {
    Photos::find(&source(folder.path()))
}

fn ids(found: &Photos) -> Vec<&str> {
    found.photos.iter().map(|photo| photo.id.as_str()).collect()
}

#[test]
fn names_that_clash_become_paths_and_the_others_stay() {
    let shop = folder(
        &["img/Wool_Coat/1.jpg", "img/Linen_Shirt/1.jpg", "img/Linen_Shirt/2.jpg"],
        "image,color\r\nimg/Wool_Coat/1.jpg,blue\r\nimg/Linen_Shirt/1.jpg,red\r\nimg\\Linen_Shirt\\2.jpg,red\r\n",
    );
    let found = find(&shop).expect("found");
    assert_eq!(ids(&found), ["img/Wool_Coat/1", "img/Linen_Shirt/1", "2"]);
    assert_eq!(
        found.notes,
        [
            "2 ids are the paths below the folder, since names clash: \"1\" is img/Wool_Coat/1.jpg, img/Linen_Shirt/1.jpg"
        ]
    );
    let plain = folder(&["a/front.jpg", "top.jpg", "top.png"], "");
    let found = find(&plain).expect("found");
    assert_eq!(ids(&found), ["front", "top.jpg", "top.png"]);
    assert!(
        found.notes[0].starts_with("2 ids are the paths below the folder, 2 of them with the ending, since")
    );
    let unlike = folder(&["a/front.jpg", "b/back.jpg"], "");
    let found = find(&unlike).expect("found");
    assert_eq!((ids(&found), found.notes.len()), (vec!["front", "back"], 0));
}

#[test]
fn a_photo_or_an_id_that_is_added_leaves_the_ids_of_the_others() {
    let names = ["1.jpg", "2.jpg", "new/1.jpg", "3.jpg"];
    let found = find(&folder(&names[..2], "")).expect("found");
    assert_eq!(ids(&found), ["1", "2"]);
    let found = find(&folder(&names[..3], "")).expect("found");
    assert_eq!(ids(&found), ["1", "2", "new/1"]);
    assert!(found.notes[0].starts_with("1 ids are the paths below the folder, since"), "{:?}", found.notes);
    let rows = "image,id\n1.jpg,\n2.jpg,\nnew/1.jpg,5\n3.jpg,2\n";
    assert_eq!(ids(&find(&folder(&names, rows)).expect("found")), ["1", "2.jpg", "5", "2"]);
    // A longer id is the name of a photo that did not clash before.
    let found = find(&folder(&["a.jpg", "a.jpg.png", "a.png", "b.jpg"], "")).expect("found");
    assert_eq!(ids(&found), ["a.jpg", "a.jpg.png", "a.png", "b"]);
}

// Other systems take both names for one file.
#[cfg(target_os = "linux")]
#[test]
fn names_that_look_alike_are_told_apart() {
    let shop = folder(&["gro\u{308}ss.jpg", "gr\u{f6}ss.jpg", "a.jpg"], "");
    let refused = find(&shop).expect_err("refused").to_string();
    assert!(refused.contains("\"gr\u{f6}ss.jpg\" is gr"), "{refused}");
    for part in ["gro\\u{308}ss.jpg", "gr\\u{f6}ss.jpg", "(these differ by Unicode form alone: rename one)"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(told_apart(&["gr\u{f6}ss.jpg", "b.jpg"]), "gr\u{f6}ss.jpg, b.jpg");
}

#[test]
fn ids_that_still_clash_are_refused_before_anything_is_sent() {
    let names: Vec<String> = (0..14).map(|n| format!("{n}.jpg")).collect();
    let rows: String = names.iter().enumerate().map(|(n, name)| format!("{name},item-{}\n", n / 2)).collect();
    let shop = folder(&names.iter().map(String::as_str).collect::<Vec<_>>(), &format!("image,id\n{rows}"));
    let refused = find(&shop).expect_err("refused").to_string();
    assert!(refused.contains("\"item-0\" is 0.jpg, 1.jpg") && refused.contains("and 2 more"), "{refused}");
    let twice = folder(&["a.jpg"], "image,color\na.jpg,red\na.jpg,blue\n");
    assert!(find(&twice).expect_err("refused").to_string().contains("\"a.jpg\" is a.jpg, a.jpg"));
}

#[test]
fn ids_do_not_depend_on_the_rows_that_are_left_out() {
    let shop = folder(&["a/1.jpg", "b/1.jpg"], "image,split\na/1.jpg,train\nb/1.jpg,val\n");
    let train = Source { split: Some("train".into()), prefix: "x-".into(), ..source(shop.path()) };
    assert_eq!(ids(&Photos::find(&train).expect("found")), ["x-a/1"]);
    let none = Source { split: Some("test".into()), ..source(shop.path()) };
    assert!(Photos::find(&none).is_err());
}

#[test]
fn one_bad_row_leaves_the_others() {
    let shop = folder(&["0.jpg", "1.jpg"], "image,color\n0.jpg,red,blue\n1.jpg,red\n,red\n");
    let found = find(&shop).expect("found");
    assert_eq!(ids(&found), ["1"]);
    let reasons: Vec<&str> = found.refused.iter().map(|(_, why)| why.as_str()).collect();
    assert!(reasons[0].starts_with("line 2 has") && reasons[1].starts_with("line 4 has"), "{reasons:?}");
}

#[test]
fn photos_beside_the_table_are_told() {
    let names = ["0.jpg", "1.jpg", "2.jpg", "more/3.jpg", "Gro\u{308}ße.jpg", ".hidden.jpg", "._0.jpg"];
    let table = "image,color\n0.jpg,red\n./1.jpg,blue\nGr\u{f6}ße.jpg,red\n.hidden.jpg,red\n";
    let found = find(&folder(&names, table)).expect("found");
    assert_eq!(ids(&found), ["0", "1", "Gr\u{f6}ße", ".hidden"]);
    assert_eq!(
        found.notes,
        [
            "left out, since the table does not list them: 2 photos (2.jpg, more/3.jpg)",
            "passed over, hidden: ._0.jpg"
        ]
    );
}

#[test]
fn a_table_without_rows_is_told_as_such() {
    let shop = folder(&["0.jpg", "1.jpg", "2.jpg"], "image,color\n");
    let refused = find(&shop).expect_err("refused").to_string();
    assert!(refused.contains("labels.csv has no rows, and 3 photos lie beside it"), "{refused}");
}

#[cfg(unix)]
#[test]
fn hidden_files_and_dangling_links_are_passed_over_with_a_word() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};
    let shop = folder(&["0.jpg", "1.jpg", "._0.jpg", "._1.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"], "");
    symlink("gone/nowhere.jpg", shop.path().join("dangling.jpg")).expect("linked");
    symlink("0.jpg", shop.path().join("good.jpg")).expect("linked");
    for name in [b"h\xe4md.jpg", b"h\xf6md.jpg"] {
        std::fs::write(shop.path().join(std::ffi::OsStr::from_bytes(name)), "photo").expect("written");
    }
    let found = find(&shop).expect("found");
    assert_eq!(ids(&found), ["0", "1", "good"]);
    assert_eq!(
        found.notes,
        ["passed over, a link that leads nowhere: dangling.jpg", "passed over, hidden: ._0.jpg, ._1.jpg"]
    );
    assert_eq!(found.refused.len(), 2, "{:?}", found.refused);
    assert!(found.refused.iter().all(|(_, why)| why.contains("not UTF-8")), "{:?}", found.refused);
}

#[test]
fn columns_of_fields_become_values_and_a_cell_that_is_none_refuses_its_row() {
    let shop = folder(
        &["a.jpg", "b.jpg", "c.jpg"],
        "image,color,field:price:number,field:tags:keywords\na.jpg,red,49.90,linen|summer\nb.jpg,red,cheap,\nc.jpg,,,\n",
    );
    let found = find(&shop).expect("found");
    assert_eq!(ids(&found), ["a", "c"]);
    let shown = |photo: &Photo| -> Vec<String> {
        photo
            .fields
            .iter()
            .map(|(f, value)| format!("{f} {}", lapel_client::fields::show_value(value)))
            .collect()
    };
    assert_eq!(shown(&found.photos[0]), ["price 49.9", "tags linen|summer"]);
    assert_eq!(found.photos[0].labels.len(), 1);
    assert!(shown(&found.photos[1]).is_empty());
    assert_eq!(found.refused.len(), 1);
    assert_eq!(found.refused[0].0, "b.jpg");
    assert!(found.refused[0].1.contains("\"cheap\" is not a number"), "{:?}", found.refused);
    let shop = folder(&["a.jpg"], "image,field:price:money\na.jpg,5\n");
    let refused = format!("{:#}", find(&shop).expect_err("refused"));
    assert!(refused.contains("\"field:price:money\" cannot be read"), "{refused}");
}

#[test]
fn rows_of_one_id_are_pictures_of_one_item_where_that_is_asked_for() {
    let files = ["front.jpg", "back.jpg", "worn.jpg", "skirt.jpg"];
    let table = "image,id,color,fit\nfront.jpg,coat,red,\nback.jpg,coat,,slim\nskirt.jpg,,red,\n";
    let shop = folder(&files, table);
    let refused = find(&shop).expect_err("refused").to_string();
    assert!(refused.contains("would become one item") && refused.contains("--pictures"), "{refused}");
    let found = Photos::find(&Source { pictures: true, ..source(shop.path()) }).expect("found");
    assert_eq!(ids(&found), ["coat", "skirt"]);
    let coat = &found.photos[0];
    assert_eq!(coat.path, shop.path().join("front.jpg"));
    assert_eq!(coat.more, [shop.path().join("back.jpg")]);
    assert_eq!((coat.labels["color"].as_str(), coat.labels["fit"].as_str()), ("red", "slim"));
    assert_eq!(found.refused, []);
    // A row that contradicts refuses its item, which would otherwise replace one with all pictures.
    for bad in ["worn.jpg,coat,blue,", "worn.jpg,coat,,loose"] {
        let shop = folder(&files, &format!("{table}{bad}\n"));
        let found = Photos::find(&Source { pictures: true, ..source(shop.path()) }).expect("found");
        assert_eq!(ids(&found), ["skirt"]);
        let [(row, why), (item, other)] = found.refused.as_slice() else { panic!("{:?}", found.refused) };
        assert!(row == "worn.jpg" && why.contains("of item \"coat\""), "{row}: {why}");
        assert!(item == "coat" && other.contains("another row"), "{item}: {other}");
    }
    let shop = folder(&files, "image,color\nfront.jpg,red\n");
    let refused = Photos::find(&Source { pictures: true, ..source(shop.path()) }).expect_err("refused");
    assert!(refused.to_string().contains("no table gives ids"), "{refused}");
}
