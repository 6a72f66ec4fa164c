//! The vectors of pictures by the regions of the paper's heads.
//!
//! A backbone of views has no map to pool a region from; the vector of the view that shows it stands in its place: the
//! upper view for collar, fastening and chest, the garment's for sleeves; colours belong to whatever shows cloth. The whole
//! is the garment's view with the colours, as the whole map is for the paper. A head that reads the whole *beside* its
//! region reads all vectors.

use super::features::Pooled;
use super::probes::Scaling;
use anyhow::Context;
use candle_core::Tensor;
use half::f16;
use lapel_heads::{FeatureLayout, Region};
use std::sync::Arc;

/// Vectors of pictures.
pub(super) struct RegionVectors {
    /// `[pictures, numbers]`, as the backbone gave them.
    rows: Tensor,
    layout: FeatureLayout,
    /// `[pictures, numbers]`, every number of about variance 1 once a scaling is known.
    scaled: Tensor,
}

/// The vectors that show a region.
fn sources(region: Region) -> &'static [&'static str] {
    match region {
        Region::Whole | Region::Torso => &["garment", "colour"],
        Region::Sleeves => &["garment"],
        Region::Collar | Region::Fastening => &["upper"],
        Region::Chest => &["upper", "colour"],
    }
}

impl RegionVectors {
    pub(super) fn new(rows: Tensor, layout: FeatureLayout) -> Self {
        Self { scaled: rows.clone(), rows, layout }
    }

    pub(super) fn scale(&mut self, scaling: &Scaling) -> anyhow::Result<()> {
        self.scaled = (scaling.apply(&self.rows)? * (self.layout.len() as f64).sqrt())?;
        Ok(())
    }

    pub(super) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Some vectors as they are, one after the other.
    pub(super) fn named(&self, names: &[String]) -> anyhow::Result<Tensor> {
        self.narrowed(&self.rows, names.iter().map(String::as_str))
    }

    /// What shows a region, scaled.
    pub(super) fn region(&self, region: Region) -> anyhow::Result<Pooled> {
        pooled(&self.narrowed(&self.scaled, sources(region).iter().copied())?)
    }

    /// All vectors, scaled, in two halves: heads that read two parts have them of one length.
    pub(super) fn everything(&self) -> anyhow::Result<Vec<Arc<Pooled>>> {
        let half = self.layout.len() / 2;
        let of = |at: usize| Ok(Arc::new(pooled(&self.scaled.narrow(1, at * half, half)?)?));
        (0..2).map(of).collect()
    }

    fn narrowed<'n>(&self, rows: &Tensor, names: impl Iterator<Item = &'n str>) -> anyhow::Result<Tensor> {
        let narrow = |name: &str| {
            let at =
                self.layout.source(name).with_context(|| format!("the backbone does not give {name}"))?;
            Ok(rows.narrow(1, at.start, at.len())?)
        };
        Ok(Tensor::cat(&names.map(narrow).collect::<anyhow::Result<Vec<_>>>()?, 1)?)
    }
}

fn pooled(rows: &Tensor) -> anyhow::Result<Pooled> {
    let (_, len) = rows.dims2()?;
    let halves = rows.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f16::from_f32).collect();
    Ok(Pooled::new(halves, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use lapel_heads::Source;

    #[test]
    fn a_region_is_read_of_the_view_that_shows_it() {
        let source = |name: &str, len| Source { name: name.into(), len };
        let layout = FeatureLayout::Vectors(Arc::from([
            source("garment", 2),
            source("upper", 1),
            source("colour", 1),
        ]));
        let rows = Tensor::new(&[[1.0f32, 2.0, 3.0, 4.0], [3.0, 6.0, 5.0, 4.0]], &Device::Cpu).expect("rows");
        let mut vectors = RegionVectors::new(rows.clone(), layout);
        let read = |vectors: &RegionVectors, region| -> Vec<f32> {
            vectors.region(region).expect("known").row(0).iter().map(|v| v.to_f32()).collect()
        };
        assert_eq!(read(&vectors, Region::Whole), [1.0, 2.0, 4.0]);
        assert_eq!(read(&vectors, Region::Collar), [3.0]);
        vectors.scale(&Scaling::of(&rows).expect("scaling")).expect("scaled");
        let scaled = read(&vectors, Region::Sleeves);
        assert!(scaled.iter().all(|v| (v + 1.0).abs() < 1e-3), "of mean 0 and variance 1: {scaled:?}");
        let halves = vectors.everything().expect("scaled");
        assert!(halves.iter().all(|half| half.row(1).len() == 2), "all four, in two halves");
        let named = vectors.named(&["colour".into()]).expect("known").to_vec2::<f32>().expect("rows");
        assert_eq!(named, [[4.0], [4.0]], "as it is");
    }
}
