//! Vectors of features of photos and of their draws, computed once a content.

use super::draws::Draw;
use super::recomposed::Recomposed;
use crate::{Example, Source, write_whole};
use anyhow::Context;
use candle_core::{Device, Tensor};
use lapel_heads::{Backbone, Photo, PhotoLimits, sha256};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Photos whose features are computed together.
const BATCH: usize = 16;

/// A picture of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// As it is learnt from.
    Drawn(Draw),
    /// As it is measured on.
    Recomposed(Recomposed),
}

/// What a row is wanted of.
enum Wanted<'a> {
    /// A photo's file, in one of its pictures.
    Photo(&'a Path, Picture),
    /// A picture that is no file: rendered, or a variant.
    Made(&'a Example),
}

impl<'a> Wanted<'a> {
    /// A photo as it is has the same row whoever asks for it.
    fn of(example: &'a Example) -> Self {
        match example {
            Example { source: Source::Photo(path), variant: 0, .. } => {
                Self::Photo(path, Picture::Drawn(Draw::Plain))
            }
            other => Self::Made(other),
        }
    }
}

/// A folder of vectors, one file a photo and draw, by the backbone, the photo's content and the seed of the draws.
pub struct VectorCache<'a> {
    folder: PathBuf,
    backbone: &'a dyn Backbone,
    seed: u64,
}

impl<'a> VectorCache<'a> {
    /// The vectors of a backbone under `cache`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(cache: &Path, backbone: &'a dyn Backbone, seed: u64) -> anyhow::Result<Self> {
        let name = backbone.fingerprint().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let folder = cache.join("vectors").join(name);
        fs_err::create_dir_all(&folder)?;
        Ok(Self { folder, backbone, seed })
    }

    /// The features of draws of photos, `[pictures, numbers]`; `progress` hears how many are done.
    ///
    /// # Errors
    /// When a photo cannot be read, naming it.
    pub fn features(
        &self,
        pictures: &[(&Path, Picture)],
        progress: impl Fn(usize) + Sync,
    ) -> anyhow::Result<Tensor> {
        let wanted: Vec<Wanted<'_>> = pictures.iter().map(|(path, p)| Wanted::Photo(path, *p)).collect();
        self.rows(&wanted, progress)
    }

    /// The features of examples, as [`VectorCache::features`] of photos as they are.
    ///
    /// # Errors
    /// When a photo cannot be read, naming it.
    pub fn features_of_examples(
        &self,
        examples: &[Example],
        progress: impl Fn(usize) + Sync,
    ) -> anyhow::Result<Tensor> {
        let wanted: Vec<Wanted<'_>> = examples.iter().map(Wanted::of).collect();
        self.rows(&wanted, progress)
    }

    fn rows(&self, pictures: &[Wanted<'_>], progress: impl Fn(usize) + Sync) -> anyhow::Result<Tensor> {
        let len = self.backbone.layout().len();
        let mut data = Vec::with_capacity(pictures.len() * len);
        for (at, batch) in pictures.chunks(BATCH).enumerate() {
            for row in self.batch(batch)? {
                anyhow::ensure!(row.len() == len, "a cached vector has {} numbers, not {len}", row.len());
                data.extend(row);
            }
            progress((at * BATCH + batch.len()).min(pictures.len()));
        }
        Ok(Tensor::from_vec(data, (pictures.len(), len), &Device::Cpu)?)
    }

    fn batch(&self, pictures: &[Wanted<'_>]) -> anyhow::Result<Vec<Vec<f32>>> {
        let looked = pictures.par_iter().map(|wanted| {
            let (file, photo) = match self.look(wanted)? {
                (file, Err(row)) => return Ok((file, Err(row))),
                (file, Ok(photo)) => (file, photo),
            };
            let canvas = self.backbone.canvas(&photo);
            // Found here, where photos are read side by side.
            let _ = canvas.silhouette();
            Ok((file, Ok(canvas)))
        });
        let looked: Vec<_> = looked.collect::<anyhow::Result<_>>()?;
        let canvases: Vec<_> = looked.iter().filter_map(|(_, looked)| looked.as_ref().ok()).collect();
        let computed = match canvases.is_empty() {
            true => Vec::new(),
            false => self.backbone.forward(&canvases)?.to_vec2::<f32>()?,
        };
        let mut computed = computed.into_iter();
        let mut rows = Vec::with_capacity(looked.len());
        for (file, looked) in looked {
            rows.push(match looked {
                Err(row) => row,
                Ok(_) => {
                    let row = computed.next().unwrap_or_default();
                    write(&file, &row)?;
                    row
                }
            });
        }
        Ok(rows)
    }

    /// The file of a picture, with its row where that is known already, or the picture itself.
    fn look(&self, wanted: &Wanted<'_>) -> anyhow::Result<(PathBuf, Result<Photo, Vec<f32>>)> {
        let len = self.backbone.layout().len();
        match wanted {
            Wanted::Made(example) => {
                let key = sha256(example.key()?.as_bytes());
                let file = self.folder.join(self.name(&key, Picture::Drawn(Draw::Plain)));
                let known = read(&file, len);
                Ok((file, known.map_or_else(|| example.photo().map(Ok), |row| Ok(Err(row)))?))
            }
            Wanted::Photo(path, picture) => {
                let named = || path.display().to_string();
                let bytes = fs_err::read(path).with_context(named)?;
                let content = sha256(&bytes);
                let file = self.folder.join(self.name(&content, *picture));
                if let Some(row) = read(&file, len) {
                    return Ok((file, Err(row)));
                }
                let photo = Photo::decode(&bytes, PhotoLimits::default()).with_context(named)?;
                let photo = match picture {
                    Picture::Drawn(draw) => draw.of(&photo, self.backbone, &content, self.seed),
                    Picture::Recomposed(recomposed) => {
                        recomposed.of(&photo, self.backbone).with_context(named)?
                    }
                };
                Ok((file, Ok(photo)))
            }
        }
    }

    fn name(&self, content: &[u8; 32], picture: Picture) -> String {
        let content: String = content[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        match picture {
            Picture::Drawn(Draw::Plain) => format!("{content}.f32"),
            Picture::Drawn(draw) => format!("{content}-{draw:?}-{}.f32", self.seed).replace(['(', ')'], "_"),
            Picture::Recomposed(recomposed) => format!("{content}-{recomposed:?}.f32"),
        }
    }
}

/// A row of `len` numbers; `None` where there is none, or one that was cut off.
fn read(file: &Path, len: usize) -> Option<Vec<f32>> {
    let bytes = fs_err::read(file).ok()?;
    let (numbers, []) = bytes.as_chunks::<4>() else { return None };
    let row: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    (row.len() == len && row.iter().all(|v| v.is_finite())).then_some(row)
}

fn write(file: &Path, row: &[f32]) -> anyhow::Result<()> {
    Ok(write_whole(file, &row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?)
}
