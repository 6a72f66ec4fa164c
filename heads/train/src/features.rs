//! Feature maps of examples, computed once and kept on disk.
//!
//! `maps-K.f16` holds the maps of 256 examples as little-endian f16. An interrupted run goes on with the next.

use super::canvases::CanvasCache;
use anyhow::Context;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use indicatif::ProgressBar;
use lapel_heads::{Backbone, Canvas, MapShape, PartsCase, Region, pool_region, pooled_len, sha256_hex};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const SHARD: usize = 256;

/// The cached features of a list of examples.
pub struct FeatureCache {
    folder: PathBuf,
    shape: MapShape,
    canvases: Arc<CanvasCache>,
}

/// One region of every example, pooled: `[examples, len]`, f16.
pub struct Pooled {
    data: Vec<f16>,
    len: usize,
    digest: OnceLock<String>,
}

impl Pooled {
    /// Examples.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.data.len() / self.len.max(1)
    }

    /// The numbers of one example.
    #[must_use]
    pub fn row(&self, example: usize) -> &[f16] {
        &self.data[example * self.len..][..self.len]
    }

    /// From rows of `len` numbers, one after the other.
    #[must_use]
    pub fn new(data: Vec<f16>, len: usize) -> Self {
        Self { data, len, digest: OnceLock::new() }
    }

    /// The SHA-256 of all numbers, hexadecimal: what is trained on them is known by it.
    #[must_use]
    pub fn digest(&self) -> &str {
        let of_all = || {
            let bytes: Vec<u8> = self.data.iter().flat_map(|value| value.to_le_bytes()).collect();
            sha256_hex(&bytes)
        };
        self.digest.get_or_init(of_all)
    }
}

impl FeatureCache {
    /// Computes what is missing of the features of `canvases` under `folder`.
    ///
    /// # Errors
    /// When a canvas cannot be read, the model fails or the disk does.
    pub fn build(
        folder: &Path,
        canvases: Arc<CanvasCache>,
        backbone: &dyn Backbone,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        // Other examples, or another backbone, are another cache.
        let key = format!("{}\n{}", backbone.fingerprint(), canvases.key());
        let folder = folder.join(&sha256_hex(key.as_bytes())[..16]);
        fs_err::create_dir_all(&folder)?;
        let shape = backbone.layout().map_shape();
        let shape =
            shape.context("heads of regions are trained on a map, and this backbone gives vectors")?;
        let cache = Self { folder, shape, canvases };
        bar.set_length(cache.canvases.len() as u64);
        for shard in 0..cache.canvases.len().div_ceil(SHARD) {
            if !cache.path(shard).exists() {
                cache.write_shard(shard, backbone)?;
            }
            bar.inc(cache.rows(shard).len() as u64);
        }
        Ok(cache)
    }

    /// The pooled `region` of every example, for the case that `cases` gives each.
    ///
    /// # Errors
    /// When a shard cannot be read or has the wrong size.
    pub fn pooled(&self, region: Region, cases: &[PartsCase]) -> anyhow::Result<Pooled> {
        let len = pooled_len(self.shape);
        let mut data = Vec::with_capacity(cases.len() * len);
        for (shard, cases) in cases.chunks(SHARD).enumerate() {
            let maps = self.read_shard(shard)?;
            let rows: Vec<Vec<f16>> = maps
                .par_chunks_exact(self.map_len())
                .zip(cases)
                .enumerate()
                .map(|(at, (map, case))| {
                    let parts = self.canvases.parts(shard * SHARD + at, *case);
                    let row = pool_region(map, self.shape, &parts, region);
                    let mut halves = vec![f16::ZERO; row.len()];
                    halves.convert_from_f32_slice(&row);
                    halves
                })
                .collect();
            data.extend(rows.into_iter().flatten());
        }
        Ok(Pooled::new(data, len))
    }

    fn map_len(&self) -> usize {
        self.shape.channels * self.shape.height * self.shape.width
    }

    fn rows(&self, shard: usize) -> std::ops::Range<usize> {
        shard * SHARD..((shard + 1) * SHARD).min(self.canvases.len())
    }

    fn path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("maps-{shard}.f16"))
    }

    fn read_shard(&self, shard: usize) -> anyhow::Result<Vec<f32>> {
        let bytes = fs_err::read(self.path(shard))?;
        anyhow::ensure!(
            bytes.len() == self.rows(shard).len() * self.map_len() * 2,
            "{} has a wrong size; delete the cache's folder",
            self.path(shard).display()
        );
        let bits: Vec<u16> = bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let mut maps = vec![0.0; bits.len()];
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(&mut maps);
        Ok(maps)
    }

    fn write_shard(&self, shard: usize, backbone: &dyn Backbone) -> anyhow::Result<()> {
        let rows: Vec<usize> = self.rows(shard).collect();
        let mut bytes = Vec::with_capacity(rows.len() * self.map_len() * 2);
        for rows in rows.chunks(16) {
            let canvases =
                rows.iter().map(|row| self.canvases.canvas(*row)).collect::<anyhow::Result<Vec<Canvas>>>()?;
            let maps =
                backbone.forward(&canvases.iter().collect::<Vec<_>>())?.flatten_all()?.to_vec1::<f32>()?;
            bytes.extend(maps.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        }
        let temporary = self.folder.join("maps.tmp");
        fs_err::write(&temporary, bytes)?;
        fs_err::rename(temporary, self.path(shard))?;
        Ok(())
    }
}
