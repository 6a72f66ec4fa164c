//! Backbones of views from the weights of published networks, as their hubs give them.

mod text;

use anyhow::Context;
use candle_core::safetensors::{BufferedSafetensors, Load};
use candle_core::{DType, Device};
use lapel_heads::{
    Architecture, BackboneManifest, NetworkKind, PIPELINE, TextTower, TransformerConfig, TransformerKind,
    View, Views, ViewsError, Weights,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Blocks of EfficientNet-Lite0 and MobileNetV2 whose maps are pooled beside the last one.
const BLOCKS: [usize; 2] = [4, 10];

/// Networks whose published weights can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Published {
    /// EfficientNet-Lite0, batch norm folded.
    EfficientnetLite0,
    /// MobileNetV2 1.0, batch norm folded.
    MobilenetV2,
    /// DINOv2 ViT-S/14, under the original names.
    Dinov2Vits14,
    /// A CLIP with a vision tower, of any size.
    Clip,
    /// A SigLIP with a vision tower, of any size.
    Siglip,
}

/// The file of the backbone that looks at views of `side` pixels through a published network. Of the weights, a
/// safetensors file, it keeps what the network reads of a picture, under the same names, in half precision. CLIP and
/// SigLIP come with their hub's `config.json`, and no other network does; with their `tokenizer.json` too, the text tower is
/// kept beside the network.
///
/// # Errors
/// In words: a file that cannot be read, a configuration that there should be or should not, [`ViewsError`], or
/// [`lapel_heads::TextError`].
pub fn published_backbone(
    published: Published,
    weights: &Path,
    (config, tokenizer): (Option<&Path>, Option<&Path>),
    side: usize,
) -> anyhow::Result<Vec<u8>> {
    let config = config.map(|path| fs_err::read_to_string(path).map_err(anyhow::Error::from)).transpose()?;
    let architecture = architecture(published, config.as_deref())?;
    let blocks = match architecture {
        NetworkKind::InvertedResidual(_) => BLOCKS.to_vec(),
        NetworkKind::VisionTransformer(_) => Vec::new(),
    };
    let views = View::ALL.to_vec();
    let manifest = BackboneManifest {
        format: 1,
        architecture,
        input_side: side,
        views,
        blocks,
        pipeline: PIPELINE,
        tuned: false,
        mask: None,
    };
    let faults = manifest.faults();
    if !faults.is_empty() {
        return Err(ViewsError::Unsound { faults }.into());
    }
    let tensors = tensors(&manifest.architecture, weights).with_context(|| weights.display().to_string())?;
    let bytes = Views::to_bytes(&manifest, &tensors)?;
    Views::from_bytes(&bytes).with_context(|| weights.display().to_string())?;
    match tokenizer {
        Some(tokenizer) => {
            let text = text::tower(&manifest.architecture, config.as_deref(), weights, tokenizer);
            Ok(TextTower::put_into(&bytes, &text.context("the text tower")?)?)
        }
        None => Ok(bytes),
    }
}

fn architecture(published: Published, config: Option<&str>) -> anyhow::Result<NetworkKind> {
    let of_one_size = |network: NetworkKind| {
        anyhow::ensure!(config.is_none(), "the network has one size; a configuration is not read");
        Ok(network)
    };
    let of_hub = |usual: &Usual| {
        let json = config.context("CLIP and SigLIP come in many sizes; their hub's config.json is needed")?;
        Ok(tower(usual, json).context("the hub's configuration")?.into())
    };
    match published {
        Published::EfficientnetLite0 => of_one_size(Architecture::EfficientNetLite0.into()),
        Published::MobilenetV2 => of_one_size(Architecture::MobileNetV2.into()),
        Published::Dinov2Vits14 => of_one_size(TransformerConfig::dinov2_vits14().into()),
        Published::Clip => of_hub(&CLIP),
        Published::Siglip => of_hub(&SIGLIP),
    }
}

/// What a hub's configuration leaves out where it is as usual, beside what is usual for both.
struct Usual {
    kind: TransformerKind,
    patch_size: usize,
    hidden_act: &'static str,
    layer_norm_eps: f64,
}

const CLIP: Usual =
    Usual { kind: TransformerKind::Clip, patch_size: 32, hidden_act: "quick_gelu", layer_norm_eps: 1e-5 };
const SIGLIP: Usual = Usual {
    kind: TransformerKind::SigLip,
    patch_size: 16,
    hidden_act: "gelu_pytorch_tanh",
    layer_norm_eps: 1e-6,
};

/// What is read of a hub's configuration.
#[derive(Deserialize)]
struct HubConfig {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_channels: Option<usize>,
    patch_size: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<u32>,
}

impl HubConfig {
    /// Reads the numbers of a tower that is computed as is usual for its kind.
    fn read(usual: &Usual, json: &serde_json::Value) -> anyhow::Result<Self> {
        let config = Self::deserialize(json)?;
        let Usual { kind, patch_size: _, hidden_act, layer_norm_eps } = *usual;
        let name = kind.name();
        if let Some(found) = config.hidden_act.as_ref().filter(|found| *found != hidden_act) {
            anyhow::bail!("hidden_act is {found}; {name} is computed with {hidden_act} alone");
        }
        if let Some(found) = config.layer_norm_eps.filter(|found| (found / layer_norm_eps - 1.0).abs() > 1e-6)
        {
            anyhow::bail!("layer_norm_eps is {found}; {name} is computed with {layer_norm_eps} alone");
        }
        Ok(config)
    }
}

/// The numbers of a tower from the hub's configuration: of texts and pictures, or of pictures alone.
fn tower(usual: &Usual, json: &str) -> anyhow::Result<TransformerConfig> {
    let whole: serde_json::Value = serde_json::from_str(json)?;
    let config = HubConfig::read(usual, whole.get("vision_config").unwrap_or(&whole))?;
    let Usual { kind, patch_size, .. } = *usual;
    if let Some(found) = config.num_channels.filter(|found| *found != 3) {
        anyhow::bail!("num_channels is {found}; pictures have 3");
    }
    let (mean, deviation) = kind.normalisation();
    Ok(TransformerConfig {
        kind,
        hidden_size: config.hidden_size.unwrap_or(768),
        intermediate_size: config.intermediate_size.unwrap_or(3072),
        layers: config.num_hidden_layers.unwrap_or(12),
        heads: config.num_attention_heads.unwrap_or(12),
        patch_size: config.patch_size.unwrap_or(patch_size),
        mean,
        deviation,
    })
}

/// All tensors of EfficientNet-Lite0's published weights that it reads of a picture.
///
/// # Errors
/// When the file cannot be read.
pub fn whole_network(weights: &Path) -> anyhow::Result<BTreeMap<String, Weights>> {
    tensors(&Architecture::EfficientNetLite0.into(), weights).with_context(|| weights.display().to_string())
}

/// The tensors of a file that a network reads. What it does not need, classes for instance, is left out.
fn tensors(architecture: &NetworkKind, weights: &Path) -> anyhow::Result<BTreeMap<String, Weights>> {
    let wanted: Option<Vec<String>> = match architecture {
        NetworkKind::InvertedResidual(_) => None,
        NetworkKind::VisionTransformer(config) => {
            Some(config.tensors(0).into_iter().map(|(name, _)| name).collect())
        }
    };
    chosen(weights, &|name| match &wanted {
        None => !name.starts_with("_fc") && !name.starts_with("classifier"),
        Some(wanted) => wanted.iter().any(|other| other == name),
    })
}

/// The tensors of a file whose names are wanted.
fn chosen(weights: &Path, is_wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<BTreeMap<String, Weights>> {
    let file = BufferedSafetensors::new(fs_err::read(weights)?)?;
    let tensors = file.tensors().into_iter().filter(|(name, _)| is_wanted(name));
    let tensors = tensors.map(|(name, view)| {
        let tensor = view.load(&Device::Cpu)?.to_dtype(DType::F32)?;
        let data = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok((name, Weights { shape: tensor.dims().to_vec(), data }))
    });
    Ok(tensors.collect::<candle_core::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use lapel_heads::load_backbone;
    use std::collections::HashMap;

    const CONFIG: &str = r#"{"model_type": "siglip", "initializer_factor": 1.0,
        "text_config": {"model_type": "siglip_text_model", "hidden_size": 99},
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 24, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64}}"#;

    /// A hub's file of texts and pictures: random weights of the tower, and what is not read.
    fn hub(folder: &Path, kind: TransformerKind, config: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let usual = if kind == TransformerKind::Clip { &CLIP } else { &SIGLIP };
        let tower = tower(usual, config).expect("a tower");
        let random = |shape: Vec<usize>| Tensor::randn(0f32, 0.1, shape, &Device::Cpu).expect("numbers");
        let mut tensors: HashMap<String, Tensor> =
            tower.tensors(4).into_iter().map(|(name, shape)| (name, random(shape))).collect();
        tensors.insert("logit_scale".into(), random(vec![1]));
        tensors.insert("text_model.embeddings.token_embedding.weight".into(), random(vec![30, 99]));
        let ids = Tensor::arange(0i64, 16, &Device::Cpu).expect("numbers");
        tensors.insert("vision_model.embeddings.position_ids".into(), ids);
        let paths = (folder.join("model.safetensors"), folder.join("config.json"));
        candle_core::safetensors::save(&tensors, &paths.0).expect("saved");
        fs_err::write(&paths.1, config).expect("written");
        paths
    }

    #[test]
    fn a_hubs_files_become_a_backbone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (weights, config) = hub(folder.path(), TransformerKind::SigLip, CONFIG);
        let bytes = published_backbone(Published::Siglip, &weights, (Some(config.as_path()), None), 96)
            .expect("made");
        let backbone = load_backbone(&bytes).expect("sound");
        assert!(backbone.layout().source("garment").is_some_and(|range| range.len() == 48));
        let file = BufferedSafetensors::new(bytes).expect("safetensors");
        assert!(file.tensors().iter().all(|(name, _)| name.starts_with("vision_model.")));
        assert!(file.get("vision_model.embeddings.position_ids").is_err());
        let clip = CONFIG.replace("24", "16").replace("\"image_size\"", "\"patch_size\": 16, \"image_size\"");
        let (weights, config) = hub(folder.path(), TransformerKind::Clip, &clip);
        let bytes =
            published_backbone(Published::Clip, &weights, (Some(config.as_path()), None), 64).expect("made");
        assert!(load_backbone(&bytes).expect("sound").fingerprint().starts_with("clip/"));
    }

    #[test]
    fn files_that_do_not_belong_together_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (weights, config) = hub(folder.path(), TransformerKind::SigLip, CONFIG);
        let refused = |published, config: Option<&Path>, side| {
            let error = published_backbone(published, &weights, (config, None), side).err();
            error.map_or_else(String::new, |error| format!("{error:#}"))
        };
        assert!(refused(Published::Siglip, None, 96).contains("config.json is needed"));
        assert!(refused(Published::Dinov2Vits14, Some(&config), 224).contains("one size"));
        assert!(refused(Published::Dinov2Vits14, None, 224).contains("lack the tensor"));
        assert!(refused(Published::Siglip, Some(&config), 100).contains("input_side is 100"));
        for (from, to, wanted) in [
            ("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 1000000000", "layers is 1000000000"),
            ("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2", "lack the tensor"),
            ("\"hidden_size\": 24", "\"hidden_size\": 28", "has shape"),
            ("\"hidden_size\": 24", "\"hidden_size\": 24, \"hidden_act\": \"silu\"", "hidden_act is silu"),
            ("\"hidden_size\": 24", "\"hidden_size\": \"many\"", "the hub's configuration"),
        ] {
            fs_err::write(&config, CONFIG.replace(from, to)).expect("written");
            let error = refused(Published::Siglip, Some(&config), 96);
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
    }
}
