//! Examples made ready for heads: of a backbone with a map canvases, feature maps, the case of "Extract Parts?" and pooled
//! regions; of one with vectors these.

use super::canvases::CanvasCache;
use super::examples::Example;
use super::features::{FeatureCache, Pooled};
use super::inputs::fill;
use super::probes::{Scaling, VectorCache};
use super::region_vectors::RegionVectors;
use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use lapel_heads::{Backbone, Head, PartsCase, Region, case_of};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A list of examples with everything that heads read of them.
pub struct Prepared {
    examples: Vec<Example>,
    features: Features,
    cases: Vec<PartsCase>,
    pooled: Mutex<HashMap<Region, Arc<Pooled>>>,
    /// All vectors, of a backbone that gives such.
    everything: Vec<Arc<Pooled>>,
}

/// What was computed of the pictures.
enum Features {
    Maps { canvases: Arc<CanvasCache>, maps: FeatureCache },
    Vectors(RegionVectors),
}

impl Prepared {
    /// Prepares `examples` for a backbone of vectors, keeping what is computed under `cache`.
    ///
    /// # Errors
    /// When a picture cannot be read, the model fails or the disk does.
    pub fn of_vectors(
        examples: Vec<Example>,
        backbone: &dyn Backbone,
        cache: &Path,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        bar.set_length(examples.len() as u64);
        let vectors = VectorCache::open(cache, backbone, 0)?;
        let rows = vectors.features_of_examples(&examples, |done| bar.set_position(done as u64))?;
        let cases = vec![PartsCase::LowerBody; examples.len()];
        let features = Features::Vectors(RegionVectors::new(rows, backbone.layout()));
        Ok(Self { examples, features, cases, pooled: Mutex::default(), everything: Vec::new() })
    }

    /// Vectors are read in their scaling from now on, by heads of regions; heads that name vectors read them as they are.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn scale(&mut self, scaling: &Scaling) -> anyhow::Result<()> {
        if let Features::Vectors(vectors) = &mut self.features {
            vectors.scale(scaling)?;
            self.everything = vectors.everything()?;
            self.pooled.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        Ok(())
    }

    /// The vectors as they are, `[examples, numbers]`.
    ///
    /// # Errors
    /// Of a backbone with a map.
    pub fn vectors(&self) -> anyhow::Result<&Tensor> {
        match &self.features {
            Features::Vectors(vectors) => Ok(vectors.rows()),
            Features::Maps { .. } => anyhow::bail!("probes read vectors, and this backbone gives a map"),
        }
    }

    /// Prepares `examples` for a backbone with a map, keeping what is computed under `cache`.
    ///
    /// Until [`Prepared::find_cases`] every example counts as lower-body clothing, whose regions are the whole map.
    ///
    /// # Errors
    /// When a picture cannot be read, the model fails or the disk does.
    pub fn new(
        examples: Vec<Example>,
        backbone: &dyn Backbone,
        cache: &Path,
        (canvas_bar, feature_bar): (&ProgressBar, &ProgressBar),
    ) -> anyhow::Result<Self> {
        let side = backbone.input_side();
        let canvases = Arc::new(CanvasCache::build(&cache.join("canvases"), &examples, side, canvas_bar)?);
        let maps = FeatureCache::build(&cache.join("features"), canvases.clone(), backbone, feature_bar)?;
        let cases = vec![PartsCase::LowerBody; examples.len()];
        let features = Features::Maps { canvases, maps };
        Ok(Self { examples, features, cases, pooled: Mutex::default(), everything: Vec::new() })
    }

    /// The examples.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// Their canvases; `None` of a backbone of vectors, whose parts nobody looks for.
    #[must_use]
    pub fn canvases(&self) -> Option<&CanvasCache> {
        match &self.features {
            Features::Maps { canvases, .. } => Some(canvases),
            Features::Vectors(_) => None,
        }
    }

    /// The case of each, as "Extract Parts?" sees it.
    #[must_use]
    pub fn cases(&self) -> &[PartsCase] {
        &self.cases
    }

    /// Has "Extract Parts?" tell the case of each example, so that training and serving agree.
    ///
    /// # Errors
    /// When the features cannot be read or the model fails.
    pub fn find_cases(&mut self, extract_parts: &Head) -> anyhow::Result<()> {
        let signatures = self.signatures(extract_parts)?;
        self.cases = signatures.iter().map(|s| case_of(extract_parts, s.as_deref())).collect();
        self.pooled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|region, _| *region == Region::Whole);
        Ok(())
    }

    /// The pooled `region` of every example; computed once.
    ///
    /// # Errors
    /// When the features cannot be read.
    pub fn pooled(&self, region: Region) -> anyhow::Result<Arc<Pooled>> {
        let mut known = self.pooled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pooled) = known.get(&region) {
            return Ok(pooled.clone());
        }
        let pooled = Arc::new(match &self.features {
            Features::Maps { maps, .. } => maps.pooled(region, &self.cases)?,
            Features::Vectors(vectors) => vectors.region(region)?,
        });
        known.insert(region, pooled.clone());
        Ok(pooled)
    }

    /// What a head of `region` reads: the region, and the whole map beside it for one with `context`, or all vectors.
    ///
    /// # Errors
    /// When the features cannot be read.
    pub fn inputs(&self, region: Region, context: bool) -> anyhow::Result<Vec<Arc<Pooled>>> {
        if context && !self.everything.is_empty() {
            return Ok(self.everything.clone());
        }
        let regions = if context { vec![region, Region::Whole] } else { vec![region] };
        regions.into_iter().map(|r| self.pooled(r)).collect()
    }

    /// Signatures of every example by one head.
    ///
    /// # Errors
    /// When the features cannot be read or the model fails.
    pub fn signatures(&self, head: &Head) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
        if !head.manifest().inputs.is_empty() {
            let Features::Vectors(vectors) = &self.features else {
                anyhow::bail!("the head {} reads vectors, and this backbone gives a map", head.name());
            };
            let signatures = head.signatures(&vectors.named(&head.manifest().inputs)?)?;
            return Ok(signatures.into_iter().map(|s| s.map(lapel_heads::Signature::into_values)).collect());
        }
        let pooled = self.inputs(head.manifest().region, head.manifest().context)?;
        signatures(head, &pooled, self.examples.len())
    }
}

/// Signatures of pooled rows, of which the head reads as many numbers as its fc6 has inputs.
fn signatures(head: &Head, pooled: &[Arc<Pooled>], count: usize) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
    let inputs = head.inputs();
    let rows: Vec<usize> = (0..count).collect();
    let batches = rows
        .par_chunks(128)
        .map(|rows| {
            let mut data = vec![0.0f32; rows.len() * inputs];
            for (row, target) in rows.iter().zip(data.chunks_exact_mut(inputs)) {
                fill(pooled, *row, target);
            }
            let pooled = Tensor::from_vec(data, (rows.len(), inputs), &Device::Cpu)?;
            let signatures = head.signatures(&pooled)?;
            Ok(signatures.into_iter().map(|s| s.map(lapel_heads::Signature::into_values)).collect())
        })
        .collect::<candle_core::Result<Vec<Vec<_>>>>()?;
    Ok(batches.into_iter().flatten().collect())
}
