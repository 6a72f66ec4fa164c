//! What a head is taught from: what the catalogue has, a table of items, or a folder of photos.

use crate::output;
use anyhow::{Context, bail, ensure};
use lapel_client::v1;
use lapel_client::v1::taught_example::Of;
use lapel_client::v1::teach_request::Source;
use lapel_wardrobe::{ItemTable, Listing, PassedOver, read_items};
use prost_reflect::prost::Message;
use std::path::Path;

/// Bytes of a message that a server takes unless it is told otherwise: limits.image_bytes_max and 1 MiB.
const MESSAGE_BYTES_MAX: u64 = 11 << 20;
/// The column of labels in a table, beside one of the head's name.
const LABEL: &str = "label";

/// Where examples come from, as a request says it.
pub(super) struct Examples {
    pub(super) source: Source,
    /// The names of photos, where photos are the examples, in their order.
    pub(super) photos: Vec<String>,
}

impl Examples {
    /// The items that carry labels of an attribute.
    pub(super) fn of_labels(attribute: &str) -> Self {
        Self { source: Source::LabelAttribute(attribute.to_owned()), photos: Vec::new() }
    }

    /// The items with a value of a field.
    pub(super) fn of_field(field: &str) -> Self {
        Self { source: Source::Field(field.to_owned()), photos: Vec::new() }
    }

    /// Words for labels, each a label or `LABEL=PROMPT`; a label that comes again has several prompts.
    pub(super) fn of_words(words: &[String]) -> anyhow::Result<Self> {
        let mut labels: Vec<v1::WordedLabel> = Vec::new();
        // Captions are sentences, and may have commas.
        let one = |word: &'_ String| -> Vec<String> {
            if word.contains('=') { vec![word.clone()] } else { word.split(',').map(str::to_owned).collect() }
        };
        for word in words.iter().flat_map(one) {
            let (label, prompt) = match word.split_once('=') {
                Some((label, prompt)) => (label.trim(), Some(prompt.trim())),
                None => (word.trim(), None),
            };
            ensure!(
                !label.is_empty() && prompt != Some(""),
                "--words: {word:?} is neither LABEL nor LABEL=CAPTION"
            );
            let prompts = prompt.map(str::to_owned);
            match labels.iter_mut().find(|known| known.label == label) {
                Some(known) => {
                    ensure!(
                        prompts.is_some() && !known.prompts.is_empty(),
                        "--words: label {label:?} comes twice; each time with a caption, or once"
                    );
                    known.prompts.extend(prompts);
                }
                None => labels.push(v1::WordedLabel {
                    label: label.to_owned(),
                    prompts: prompts.into_iter().collect(),
                }),
            }
        }
        Ok(Self { source: Source::Words(v1::TaughtWords { labels }), photos: Vec::new() })
    }

    /// The items of a table. A row that cannot be read is an error: what it would have taught is not known.
    pub(super) fn of_table(file: &Path, name: &str) -> anyhow::Result<Self> {
        let table = read_items(file)?;
        let ItemTable { attributes, fields: _, rows } = table;
        let named = attributes.iter().find(|other| *other == name);
        let column = named.or_else(|| attributes.iter().find(|other| other.eq_ignore_ascii_case(LABEL)));
        let told = file.display();
        let column = column
            .with_context(|| format!("{told} has no column of labels: name one \"{LABEL}\" or {name:?}"))?;
        let (mut examples, mut empty) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let mut row = row.with_context(|| told.to_string())?;
            match row.labels.remove(column.as_str()) {
                Some(label) => examples.push(v1::TaughtExample { label, of: Some(Of::ItemId(row.id)) }),
                None => empty += 1,
            }
        }
        ensure!(!examples.is_empty(), "{told} has no row with an id and a label");
        if empty > 0 {
            output::note(format!("left out: {empty} rows of {told} without a label"));
        }
        Ok(Self { source: Source::Examples(v1::TaughtExamples { examples }), photos: Vec::new() })
    }

    /// The photos of a folder, each with the name of the folder in it that it is in, or below, for a label.
    pub(super) fn of_photos(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let listing = Listing::read(folder).with_context(|| folder.display().to_string())?;
        for (path, why) in &listing.passed_over {
            if !matches!(why, PassedOver::Hidden) {
                output::note(format!("left out: {} ({why})", path.display()));
            }
        }
        let (labelled, unlabelled): (Vec<_>, Vec<_>) =
            listing.photos.iter().partition(|photo| photo.name.contains('/'));
        if let Some(first) = unlabelled.first() {
            let (count, first) = (unlabelled.len(), &first.name);
            output::note(format!(
                "left out, since they lie in no folder of a label: {count} photos ({first})"
            ));
        }
        ensure!(
            !labelled.is_empty(),
            "{} has no folders of JPEG, PNG or WebP files: make one a label, named after it",
            folder.display()
        );
        // Before they are read: there may be any number.
        let mut bytes = 0u64;
        for photo in &labelled {
            bytes = bytes.saturating_add(fs_err::metadata(&photo.path)?.len());
        }
        ensure_small(bytes, name)?;
        let mut examples = Vec::with_capacity(labelled.len());
        let mut photos = Vec::with_capacity(labelled.len());
        for photo in labelled {
            let Some((label, _)) = photo.name.split_once('/') else { continue };
            let image = fs_err::read(&photo.path)?;
            ensure!(!image.is_empty(), "the file {} is empty", photo.path.display());
            examples.push(v1::TaughtExample { label: label.to_owned(), of: Some(Of::Image(image)) });
            photos.push(photo.name.clone());
        }
        Ok(Self { source: Source::Examples(v1::TaughtExamples { examples }), photos })
    }
}

/// Refuses a request that is larger than a server takes, before any of it is sent.
pub(super) fn ensure_fits(request: &v1::TeachRequest) -> anyhow::Result<()> {
    ensure_small(request.encoded_len() as u64, &request.name)
}

fn ensure_small(bytes: u64, name: &str) -> anyhow::Result<()> {
    if bytes <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    bail!(
        "nothing was sent: the examples are {:.1} MiB, and one message may have {:.0} as servers are shipped. Give smaller \
         photos (400 pixels are enough) or fewer; or store them as items, with `lapel items import FOLDER` and a labels.csv in it with the columns \
         image,{name}, and teach from those: `lapel teach {name} --from-labels {name}`",
        mib(bytes),
        mib(MESSAGE_BYTES_MAX)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(of: Examples) -> Vec<v1::TaughtExample> {
        match of.source {
            Source::Examples(all) => all.examples,
            Source::LabelAttribute(_) | Source::Field(_) | Source::Words(_) => Vec::new(),
        }
    }

    #[test]
    fn a_tables_labels_are_in_the_column_of_the_heads_name_or_in_label() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("table.csv");
        for (text, label) in [
            ("id,label\na,over\nb,\n", "over"),
            ("id;layer\na;over\n", "over"),
            ("id,label,layer\na,other,over\n", "over"),
        ] {
            std::fs::write(&file, text).expect("written");
            let read = examples(Examples::of_table(&file, "layer").expect("read"));
            let right = v1::TaughtExample { label: label.into(), of: Some(Of::ItemId("a".into())) };
            assert_eq!(read, [right], "{text}");
        }
        for (text, why) in [
            ("id,color\na,red\n", "no column of labels"),
            ("id,label\na,\n", "no row with an id and a label"),
            ("id,label\n,over\n", "no \"id\""),
        ] {
            std::fs::write(&file, text).expect("written");
            let refused = Examples::of_table(&file, "layer").err().expect("refused");
            assert!(format!("{refused:#}").contains(why), "{refused:#}");
        }
    }

    #[test]
    fn words_are_labels_with_prompts_or_without() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Examples::of_words(&words).map(|examples| examples.source)
        };
        let label = |label: &str, prompts: &[&str]| v1::WordedLabel {
            label: label.to_owned(),
            prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
        };
        let found = read(&["long, wide", "short=a tee, cropped", " short = a vest ", "none"]).expect("read");
        let labels = vec![
            label("long", &[]),
            label("wide", &[]),
            label("short", &["a tee, cropped", "a vest"]),
            label("none", &[]),
        ];
        assert_eq!(found, Source::Words(v1::TaughtWords { labels }));
        for odd in ["", "=a tee", "short=", "long", "long=a gown", "a,,b"] {
            assert!(read(&["long", odd]).is_err_and(|error| error.to_string().contains("--words")), "{odd}");
        }
    }

    #[test]
    fn photos_are_labelled_by_their_folders_and_must_fit() {
        let folder = tempfile::tempdir().expect("folder");
        let put = |name: &str, bytes: usize| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, vec![1; bytes]).expect("written");
        };
        put("alone.jpg", 1);
        let refused = Examples::of_photos(folder.path(), "layer").err().expect("refused");
        assert!(refused.to_string().contains("no folders"), "{refused}");
        put("over/a.jpg", 1);
        put("top/summer/b.png", 1);
        put("top/c.txt", 1);
        let read = Examples::of_photos(folder.path(), "layer").expect("read");
        assert_eq!(read.photos, ["over/a.jpg", "top/summer/b.png"]);
        let labels: Vec<String> = examples(read).into_iter().map(|example| example.label).collect();
        assert_eq!(labels, ["over", "top"]);
        put("over/large.jpg", 12 << 20);
        let refused = Examples::of_photos(folder.path(), "layer").err().expect("refused").to_string();
        assert!(refused.contains("12.0 MiB") && refused.contains("--from-labels layer"), "{refused}");
    }
}
