//! Feature maps and parts of examples, computed once and kept on disk.
//!
//! A shard holds 256 examples: `maps-K.f16`, their maps as little-endian f16, and `parts-K.json`, the parts of
//! each for the sleeved and for the sleeveless case. An interrupted run goes on with the next shard.

use super::examples::Example;
use crate::backbone::Backbone;
use crate::hash::sha256_hex;
use crate::parts::{Silhouette, parts_of};
use crate::photo::Canvas;
use crate::region::{Parts, PartsCase, Region};
use crate::roi::{pool_region, pooled_len};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use indicatif::ProgressBar;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

const SHARD: usize = 256;

/// The cached features of a list of examples.
pub struct FeatureCache {
    folder: PathBuf,
    map_len: usize,
    examples: usize,
}

impl FeatureCache {
    /// Computes what is missing of the features of `examples` under `folder`.
    ///
    /// # Errors
    /// When a picture cannot be read, the model fails or the disk does.
    pub fn build(
        folder: &Path,
        examples: &[Example],
        backbone: &dyn Backbone,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let shape = backbone.map_shape();
        let map_len = shape.channels * shape.height * shape.width;
        // Another list of examples, or another backbone, is another cache.
        let key: String = examples.iter().map(|e| format!("{:?}/{}\n", e.source, e.variant)).collect();
        let folder = folder.join(&sha256_hex(format!("{}\n{key}", backbone.fingerprint()).as_bytes())[..16]);
        fs_err::create_dir_all(&folder)?;
        let cache = Self { folder, map_len, examples: examples.len() };
        bar.set_length(examples.len() as u64);
        for (at, shard) in examples.chunks(SHARD).enumerate() {
            if !cache.parts_path(at).exists() {
                cache.write_shard(at, shard, backbone)?;
            }
            bar.inc(shard.len() as u64);
        }
        Ok(cache)
    }

    /// Calls `use_map` with each example's number, map and parts for the sleeved and sleeveless case.
    ///
    /// # Errors
    /// When a shard cannot be read or has the wrong size.
    pub fn for_each(&self, mut use_map: impl FnMut(usize, &[f32], &[Parts; 2])) -> anyhow::Result<()> {
        for shard in 0..self.examples.div_ceil(SHARD) {
            let (maps, parts) = self.read_shard(shard)?;
            for (i, (map, parts)) in maps.chunks_exact(self.map_len).zip(&parts).enumerate() {
                use_map(shard * SHARD + i, map, parts);
            }
        }
        Ok(())
    }

    /// The pooled `region` of every example, for the case that `cases` gives each: `[examples * 9216]`, f16.
    ///
    /// # Errors
    /// As [`FeatureCache::for_each`].
    pub fn pooled(
        &self,
        backbone: &dyn Backbone,
        region: Region,
        cases: &[PartsCase],
    ) -> anyhow::Result<Vec<f16>> {
        let shape = backbone.map_shape();
        let mut pooled = Vec::with_capacity(self.examples * pooled_len(shape));
        for (shard, cases) in cases.chunks(SHARD).enumerate() {
            let (maps, parts) = self.read_shard(shard)?;
            let rows: Vec<Vec<f16>> = maps
                .par_chunks_exact(self.map_len)
                .zip(&parts)
                .zip(cases)
                .map(|((map, parts), case)| {
                    let row = pool_region(map, shape, &of_case(parts, *case), region);
                    let mut halves = vec![f16::ZERO; row.len()];
                    halves.convert_from_f32_slice(&row);
                    halves
                })
                .collect();
            pooled.extend(rows.into_iter().flatten());
        }
        Ok(pooled)
    }

    fn read_shard(&self, shard: usize) -> anyhow::Result<(Vec<f32>, Vec<[Parts; 2]>)> {
        let parts: Vec<[Parts; 2]> = serde_json::from_slice(&fs_err::read(self.parts_path(shard))?)?;
        let bytes = fs_err::read(self.maps_path(shard))?;
        anyhow::ensure!(
            bytes.len() == parts.len() * self.map_len * 2,
            "{} has a wrong size; delete the cache's folder",
            self.maps_path(shard).display()
        );
        let bits: Vec<u16> = bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let mut maps = vec![0.0; bits.len()];
        bits.reinterpret_cast::<f16>().convert_to_f32_slice(&mut maps);
        Ok((maps, parts))
    }

    fn write_shard(&self, shard: usize, examples: &[Example], backbone: &dyn Backbone) -> anyhow::Result<()> {
        let side = backbone.input_side();
        let canvases = examples
            .par_iter()
            .map(|example| Ok(example.photo()?.fit(side)))
            .collect::<anyhow::Result<Vec<Canvas>>>()?;
        let parts: Vec<[Parts; 2]> = canvases
            .par_iter()
            .map(|canvas| {
                let silhouette = Silhouette::of(canvas);
                [PartsCase::Sleeved, PartsCase::Sleeveless].map(|case| parts_of(&silhouette, case))
            })
            .collect();
        let mut bytes = Vec::with_capacity(examples.len() * self.map_len * 2);
        for batch in canvases.chunks(16) {
            let maps =
                backbone.forward(&batch.iter().collect::<Vec<_>>())?.flatten_all()?.to_vec1::<f32>()?;
            bytes.extend(maps.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        }
        fs_err::write(self.maps_path(shard), bytes)?;
        // The parts mark a shard as whole, so they come last and in one step.
        let temporary = self.folder.join("parts.tmp");
        fs_err::write(&temporary, serde_json::to_vec(&parts)?)?;
        fs_err::rename(temporary, self.parts_path(shard))?;
        Ok(())
    }

    fn maps_path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("maps-{shard}.f16"))
    }

    fn parts_path(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("parts-{shard}.json"))
    }
}

fn of_case(parts: &[Parts; 2], case: PartsCase) -> Parts {
    match case {
        PartsCase::LowerBody => Parts::none(),
        PartsCase::Sleeved => parts[0],
        PartsCase::Sleeveless => parts[1],
    }
}
