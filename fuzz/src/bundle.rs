//! Bundles of heads, backbones and keys.

use candle_core::{Device, Tensor};
use lapel_heads::{
    Backbone, Bundle, BundleKey, Canvas, FeatureLayout, Head, Manifest, MapShape, Weights, load_backbone,
};
use safetensors::tensor::{Dtype, SafeTensors};

/// A backbone whose maps are so small that heads of a few numbers fit it.
pub struct TinyBackbone;

impl Backbone for TinyBackbone {
    fn fingerprint(&self) -> &str {
        "tiny/1"
    }

    fn input_side(&self) -> usize {
        8
    }

    fn layout(&self) -> FeatureLayout {
        FeatureLayout::Map(MapShape { channels: 2, height: 3, width: 3 })
    }

    fn forward(&self, batch: &[&Canvas]) -> candle_core::Result<Tensor> {
        Tensor::zeros((batch.len(), 2, 3, 3), candle_core::DType::F32, &Device::Cpu)
    }
}

/// Parses bytes as a bundle, a backbone and a key; a bundle that is sound is written and read again, and its head
/// computes. The content hash is no hurdle: bytes that lack nothing else are hashed anew.
///
/// # Panics
/// When that fails in a way that is no [`lapel_heads::BundleError`].
pub fn bundle(bytes: &[u8]) {
    let _ = load_backbone(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = BundleKey::from_text(text).map(|key| key.verifies(bytes, bytes));
    }
    let Some(bundle) = Bundle::parse(bytes).ok().or_else(|| hashed_anew(bytes)) else { return };
    let written = bundle.to_bytes().expect("what was read can be written");
    let again = Bundle::parse(&written).expect("what was written can be read");
    assert_eq!(again.manifest, bundle.manifest);
    let Ok(head) = Head::new(&again, Bundle::id(&written), &TinyBackbone) else { return };
    let maps = Tensor::new(&[0.5f32, -1.0, 2.0, 0.0, 0.25, 1.0], &Device::Cpu)
        .and_then(|channel| channel.repeat(6)?.reshape((2, 2, 3, 3)))
        .expect("a tensor");
    let signatures =
        maps.max_pool2d_with_stride(3, 2).and_then(|pooled| head.signatures(&pooled.flatten_from(1)?));
    for signature in signatures.iter().flatten().flatten() {
        for attribute in &head.manifest().attributes {
            let sum: f32 =
                head.classify(attribute, signature.values()).iter().flatten().map(|s| s.probability).sum();
            assert!(sum.is_nan() || sum < 1.001, "{attribute:?}: {sum}");
        }
    }
}

/// The bundle that bytes would be, were it not for their hash.
fn hashed_anew(bytes: &[u8]) -> Option<Bundle> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let manifest: Manifest =
        serde_json::from_str(metadata.metadata().as_ref()?.get("lapel.manifest")?).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let (graphs, tensors): (Vec<_>, Vec<_>) = file
        .tensors()
        .into_iter()
        .partition(|(name, view)| name.as_str() == "graph" && view.dtype() == Dtype::U8);
    let graph = graphs.first().map(|(_, view)| view.data().to_vec());
    let tensors = tensors.into_iter().map(|(name, view)| {
        let data = match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            // Small whole numbers, which any precision holds.
            _ => view.data().as_chunks().0.iter().map(|[low, _]| f32::from(*low)).collect::<Vec<f32>>(),
        };
        let shape = if data.len() == view.shape().iter().product::<usize>() {
            view.shape().to_vec()
        } else {
            vec![data.len()]
        };
        (name, Weights { shape, data })
    });
    let written = Bundle { manifest, tensors: tensors.collect(), graph }.to_bytes().ok()?;
    Bundle::parse(&written).ok()
}
