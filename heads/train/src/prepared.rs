//! Examples made ready for heads: canvases, feature maps, the case of "Extract Parts?" and pooled regions.

use super::canvases::CanvasCache;
use super::examples::Example;
use super::features::{FeatureCache, Pooled};
use super::inputs::fill;
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
    canvases: Arc<CanvasCache>,
    features: FeatureCache,
    cases: Vec<PartsCase>,
    pooled: Mutex<HashMap<Region, Arc<Pooled>>>,
}

impl Prepared {
    /// Prepares `examples`, keeping what is computed under `cache`.
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
        let features = FeatureCache::build(&cache.join("features"), canvases.clone(), backbone, feature_bar)?;
        let cases = vec![PartsCase::LowerBody; examples.len()];
        Ok(Self { examples, canvases, features, cases, pooled: Mutex::default() })
    }

    /// The examples.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// Their canvases.
    #[must_use]
    pub fn canvases(&self) -> &CanvasCache {
        &self.canvases
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
        let pooled = Arc::new(self.features.pooled(region, &self.cases)?);
        known.insert(region, pooled.clone());
        Ok(pooled)
    }

    /// What a head of `region` reads: the region, and the whole map beside it for one with `context`.
    ///
    /// # Errors
    /// When the features cannot be read.
    pub fn inputs(&self, region: Region, context: bool) -> anyhow::Result<Vec<Arc<Pooled>>> {
        let regions = if context { vec![region, Region::Whole] } else { vec![region] };
        regions.into_iter().map(|r| self.pooled(r)).collect()
    }

    /// Signatures of every example by one head.
    ///
    /// # Errors
    /// When the features cannot be read or the model fails.
    pub fn signatures(&self, head: &Head) -> anyhow::Result<Vec<Option<Vec<f32>>>> {
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
