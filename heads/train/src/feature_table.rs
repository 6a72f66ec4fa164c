//! The features of a folder of photos as one table of numbers, for whoever trains heads with other tools.

use crate::npy::NpyFile;
use anyhow::{Context, ensure};
use lapel_heads::{Backbone, Canvas, FeatureLayout, Photo, PhotoLimits};
use lapel_wardrobe::{Listing, TABLE, photo_folder, photo_id};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Photos whose features are computed together, as many as the embedder takes; a photo's do not depend on the others'.
const BATCH: usize = 8;
/// Names that are listed of one kind of fault.
const LISTED: usize = 20;

/// A photo whose features are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeaturePhoto {
    /// The id of its item.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
}

/// The photos of a folder: in the order of its `labels.csv` where it has one, by name otherwise. Beside them, what was
/// passed over, in words.
///
/// # Errors
/// When the folder or its table cannot be read, has no photos, or gives ids that do not tell photos apart.
pub fn feature_photos(folder: &Path) -> anyhow::Result<(Vec<FeaturePhoto>, Vec<String>)> {
    let (photos, notes) =
        if folder.join(TABLE).is_file() { (of_table(folder)?, Vec::new()) } else { of_folder(folder)? };
    ensure!(!photos.is_empty(), "{} has no photos", folder.display());
    // An id is a line of the file of ids.
    let odd: Vec<String> = photos
        .iter()
        .filter(|photo| photo.id.is_empty() || photo.id.contains(char::is_control))
        .map(|photo| format!("{:?}", photo.path))
        .collect();
    ensure!(odd.is_empty(), "{} photos have names that cannot be ids: {}", odd.len(), listed(&odd));
    Ok((photos, notes))
}

fn of_table(folder: &Path) -> anyhow::Result<Vec<FeaturePhoto>> {
    let rows = lapel_wardrobe::read(folder)?;
    // Rows of one id of the table's own are pictures of one item.
    let unnamed = rows.iter().filter(|row| !row.has_own_id);
    refuse_clashes(unnamed.map(|row| (row.id.as_str(), row.path.as_path())))?;
    Ok(rows.into_iter().map(|row| FeaturePhoto { id: row.id, path: row.path }).collect())
}

fn of_folder(folder: &Path) -> anyhow::Result<(Vec<FeaturePhoto>, Vec<String>)> {
    let root = photo_folder(folder);
    let listing = Listing::read(&root).with_context(|| root.display().to_string())?;
    let photos: Vec<FeaturePhoto> = listing
        .photos
        .into_iter()
        .map(|listed| FeaturePhoto { id: photo_id(&listed.path), path: listed.path })
        .collect();
    refuse_clashes(photos.iter().map(|photo| (photo.id.as_str(), photo.path.as_path())))?;
    let note = |(path, why): &(PathBuf, lapel_wardrobe::PassedOver)| format!("{}: {why}", path.display());
    Ok((photos, listing.passed_over.iter().map(note).collect()))
}

/// Fails where two files would have one id.
fn refuse_clashes<'a>(photos: impl Iterator<Item = (&'a str, &'a Path)>) -> anyhow::Result<()> {
    let (mut seen, mut clashes) = (HashMap::new(), Vec::new());
    for (id, path) in photos {
        if let Some(other) = seen.insert(id, path).filter(|other| *other != path) {
            clashes.push(format!("{id} of {} and {}", other.display(), path.display()));
        }
    }
    ensure!(
        clashes.is_empty(),
        "photos have the same id: {}; give them ids in a column \"id\" of {TABLE}",
        listed(&clashes)
    );
    Ok(())
}

/// Writes the features of photos as f32 `[photos, numbers]` to `out`, a `.npy` file, in the order of the photos: the numbers
/// that the server's heads read of them, pooled, one vector of the backbone's layout after the other. `progress` hears how
/// many photos are done.
///
/// # Errors
/// When the backbone gives a map, when a photo cannot be read (all of them are named), or when the model or the disk fails;
/// no file is written then.
pub fn write_features(
    backbone: &dyn Backbone,
    photos: &[FeaturePhoto],
    out: &Path,
    progress: impl Fn(usize),
) -> anyhow::Result<()> {
    let layout = backbone.layout();
    ensure!(
        matches!(layout, FeatureLayout::Vectors(_)),
        "the backbone {} gives a map, of which each head pools its own region: heads on it are trained with \
         `lapel-train train-paper`",
        backbone.fingerprint()
    );
    let mut file = NpyFile::create(out, (photos.len(), layout.len()))?;
    let (mut done, mut unreadable) = (0, Vec::new());
    for batch in photos.chunks(BATCH) {
        let looked: Vec<anyhow::Result<Canvas>> =
            batch.par_iter().map(|photo| canvas(backbone, &photo.path)).collect();
        let mut canvases = Vec::with_capacity(batch.len());
        for looked in looked {
            match looked {
                Ok(canvas) => canvases.push(canvas),
                Err(error) => unreadable.push(format!("{error:#}")),
            }
        }
        // After one that cannot be read, photos are read on to name all of these, and nothing is computed any more.
        if unreadable.is_empty() {
            let rows = backbone.forward(&canvases.iter().collect::<Vec<_>>())?.to_vec2::<f32>()?;
            for row in &rows {
                file.put(row)?;
            }
        }
        done += batch.len();
        progress(done);
    }
    ensure!(
        unreadable.is_empty(),
        "nothing was written, since {} of {} photos cannot be read: {}",
        unreadable.len(),
        photos.len(),
        listed(&unreadable)
    );
    Ok(file.finish()?)
}

/// The canvas of a photo as the server prepares it.
fn canvas(backbone: &dyn Backbone, path: &Path) -> anyhow::Result<Canvas> {
    let named = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(named)?;
    let photo = Photo::decode(&bytes, PhotoLimits::default()).with_context(named)?;
    let canvas = backbone.canvas(&photo);
    // Found here, where photos are read side by side.
    let _ = canvas.silhouette();
    Ok(canvas)
}

/// The first texts, and how many more there are.
fn listed(texts: &[String]) -> String {
    let first = texts.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    match texts.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use lapel_heads::{MapShape, Source};
    use std::cell::RefCell;

    /// The mean of the canvas' red, green and blue, or a map.
    struct Means {
        is_map: bool,
    }

    impl Backbone for Means {
        fn fingerprint(&self) -> &str {
            "means/1"
        }

        fn input_side(&self) -> usize {
            64
        }

        fn layout(&self) -> FeatureLayout {
            match self.is_map {
                true => FeatureLayout::Map(MapShape { channels: 3, height: 1, width: 1 }),
                false => FeatureLayout::Vectors(vec![Source { name: "colour".into(), len: 3 }].into()),
            }
        }

        fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
            let mean = |canvas: &&Canvas, channel: usize| {
                let pixels = canvas.rgb().chunks_exact(3);
                let count = pixels.len() as f32;
                pixels.map(|pixel| f32::from(pixel[channel])).sum::<f32>() / count
            };
            let data: Vec<f32> =
                batch.iter().flat_map(|canvas| [0, 1, 2].map(|channel| mean(canvas, channel))).collect();
            Tensor::from_vec(data, (batch.len(), 3), &Device::Cpu)
        }
    }

    fn save(path: &Path, colour: [u8; 3]) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        image::RgbImage::from_pixel(12, 20, image::Rgb(colour)).save(path).expect("written");
    }

    fn ids(photos: &[FeaturePhoto]) -> Vec<&str> {
        photos.iter().map(|photo| photo.id.as_str()).collect()
    }

    #[test]
    fn every_photo_of_a_folder_has_its_row() {
        let folder = tempfile::tempdir().expect("folder");
        for number in 0..11u8 {
            save(&folder.path().join(format!("photo-{number:02}.png")), [number, 100, 255 - number]);
        }
        save(&folder.path().join(".hidden.png"), [0; 3]);
        let (photos, notes) = feature_photos(folder.path()).expect("listed");
        assert_eq!(ids(&photos)[..2], ["photo-00", "photo-01"]);
        assert!(matches!(&notes[..], [note] if note.ends_with("hidden")), "{notes:?}");
        let (out, heard) = (folder.path().join("features.npy"), RefCell::new(Vec::new()));
        write_features(&Means { is_map: false }, &photos, &out, |done| heard.borrow_mut().push(done))
            .expect("written");
        assert_eq!(heard.into_inner(), [8, 11]);
        let bytes = std::fs::read(&out).expect("there");
        let numbers: Vec<f32> = bytes[128..].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let wanted = (0..11u8).flat_map(|number| [number, 100, 255 - number]).map(f32::from);
        assert_eq!(numbers, wanted.collect::<Vec<f32>>());
    }

    #[test]
    fn a_table_gives_the_order_and_the_ids() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["a", "b", "c"] {
            save(&folder.path().join("images").join(name).with_extension("png"), [1; 3]);
        }
        let table = folder.path().join(TABLE);
        std::fs::write(&table, "image,id,mood\nc.png,,calm\nb.png,7,loud\na.png,7,loud\n").expect("written");
        let (photos, _) = feature_photos(folder.path()).expect("listed");
        assert_eq!(ids(&photos), ["c", "7", "7"]);
        assert!(photos[0].path.ends_with("images/c.png"));
    }

    #[test]
    fn photos_that_cannot_be_read_are_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().expect("folder");
        save(&folder.path().join("a.png"), [1; 3]);
        save(&folder.path().join("z.png"), [1; 3]);
        std::fs::write(folder.path().join("broken.jpg"), b"no photo").expect("written");
        std::fs::write(folder.path().join("empty.png"), b"").expect("written");
        let (mut photos, _) = feature_photos(folder.path()).expect("listed");
        photos.push(FeaturePhoto { id: "gone".into(), path: folder.path().join("gone.png") });
        let out = folder.path().join("features.npy");
        let refused = write_features(&Means { is_map: false }, &photos, &out, |_| ()).expect_err("refused");
        let text = refused.to_string();
        assert!(text.contains("3 of 5 photos"), "{text}");
        assert!(["broken.jpg", "empty.png", "gone.png"].iter().all(|name| text.contains(name)), "{text}");
        let left = std::fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(left, 4, "the photos alone");
    }

    #[test]
    fn what_has_no_rows_or_no_ids_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let refused = |folder: &Path| feature_photos(folder).expect_err("refused").to_string();
        assert!(refused(folder.path()).contains("no photos"));
        assert!(feature_photos(&folder.path().join("nowhere")).is_err());
        save(&folder.path().join("a/one.png"), [1; 3]);
        save(&folder.path().join("b/one.png"), [1; 3]);
        let text = refused(folder.path());
        assert!(text.contains("the same id: one of ") && text.contains("labels.csv"), "{text}");
        let photo = FeaturePhoto { id: "one".into(), path: folder.path().join("a/one.png") };
        let out = folder.path().join("features.npy");
        let map = write_features(&Means { is_map: true }, &[photo], &out, |_| ()).expect_err("refused");
        assert!(map.to_string().contains("train-paper"), "{map}");
        assert!(!out.exists());
    }
}
