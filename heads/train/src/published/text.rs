//! Text towers from the files that the hubs of CLIP and SigLIP have.

use super::{CLIP, HubConfig, SIGLIP, chosen};
use anyhow::Context;
use lapel_heads::{NetworkKind, TextConfig, TextError, TextTower, TransformerConfig, TransformerKind};
use std::path::Path;

/// What a hub's configuration of texts leaves out where it is as usual.
struct UsualText {
    hidden_size: usize,
    intermediate_size: usize,
    heads: usize,
    vocabulary: usize,
    positions: usize,
    pad: u32,
}

const CLIP_TEXT: UsualText = UsualText {
    hidden_size: 512,
    intermediate_size: 2048,
    heads: 8,
    vocabulary: 49_408,
    positions: 77,
    pad: 0,
};
const SIGLIP_TEXT: UsualText = UsualText {
    hidden_size: 768,
    intermediate_size: 3072,
    heads: 12,
    vocabulary: 32_000,
    positions: 64,
    pad: 1,
};

/// The file of the text tower that belongs to a network of pictures; whether it is sound is found out.
///
/// # Errors
/// In words: a network without texts, a file that cannot be read, or [`TextError`].
pub(super) fn tower(
    architecture: &NetworkKind,
    config: Option<&str>,
    weights: &Path,
    tokenizer: &Path,
) -> anyhow::Result<Vec<u8>> {
    let (NetworkKind::VisionTransformer(pictures), Some(json)) = (architecture, config) else {
        anyhow::bail!("{} has none; a tokenizer is not read", architecture.name());
    };
    let config = numbers(pictures, json).context("the hub's configuration")?;
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(TextError::Unsound { faults }.into());
    }
    let names = config.names();
    let tensors = chosen(weights, &|name| names.iter().any(|wanted| wanted == name));
    let tensors = tensors.with_context(|| weights.display().to_string())?;
    let bytes = TextTower::to_bytes(&config, &tensors, &fs_err::read(tokenizer)?)?;
    TextTower::from_bytes(&bytes)?;
    Ok(bytes)
}

/// The numbers of a text tower from the hub's configuration of texts and pictures.
fn numbers(pictures: &TransformerConfig, json: &str) -> anyhow::Result<TextConfig> {
    let (usual, text) = match pictures.kind {
        TransformerKind::Clip => (&CLIP, &CLIP_TEXT),
        TransformerKind::SigLip => (&SIGLIP, &SIGLIP_TEXT),
        TransformerKind::DinoV2 => anyhow::bail!("DINOv2 reads no texts"),
    };
    let whole: serde_json::Value = serde_json::from_str(json)?;
    let own =
        whole.get("text_config").context("it has no text_config; one of pictures alone has no texts")?;
    let config = HubConfig::read(usual, own).context("text_config")?;
    let hidden_size = config.hidden_size.unwrap_or(text.hidden_size);
    let projection = match pictures.kind {
        TransformerKind::Clip => {
            let given = whole.get("projection_dim").and_then(serde_json::Value::as_u64);
            given.map_or(Ok(512), usize::try_from)?
        }
        TransformerKind::SigLip | TransformerKind::DinoV2 => hidden_size,
    };
    Ok(TextConfig {
        kind: pictures.kind,
        hidden_size,
        intermediate_size: config.intermediate_size.unwrap_or(text.intermediate_size),
        layers: config.num_hidden_layers.unwrap_or(12),
        heads: config.num_attention_heads.unwrap_or(text.heads),
        vocabulary: config.vocab_size.unwrap_or(text.vocabulary),
        positions: config.max_position_embeddings.unwrap_or(text.positions),
        projection,
        summary: pictures.hidden_size,
        pad: config.pad_token_id.unwrap_or(text.pad),
    })
}

#[cfg(test)]
mod tests {
    use crate::published::{Published, published_backbone};
    use candle_core::{Device, Tensor};
    use lapel_heads::{TextTower, TransformerConfig, TransformerKind, load_backbone};
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};

    const CONFIG: &str = r#"{"projection_dim": 8,
        "text_config": {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 5, "max_position_embeddings": 6, "hidden_act": "quick_gelu"},
        "vision_config": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "patch_size": 16}}"#;
    const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "long": 1, "short": 2}}}"#;

    /// A hub's files of a CLIP with random weights.
    fn hub(folder: &Path) -> [PathBuf; 3] {
        let (mean, deviation) = TransformerKind::Clip.normalisation();
        let pictures = TransformerConfig {
            kind: TransformerKind::Clip,
            hidden_size: 16,
            intermediate_size: 32,
            layers: 1,
            heads: 2,
            patch_size: 16,
            mean,
            deviation,
        };
        let texts = super::numbers(&pictures, CONFIG).expect("numbers");
        let random = |shape: Vec<usize>| Tensor::randn(0f32, 0.1, shape, &Device::Cpu).expect("numbers");
        let named = pictures.tensors(4).into_iter().chain(texts.tensors());
        let mut tensors: HashMap<String, Tensor> = named.map(|(name, shape)| (name, random(shape))).collect();
        tensors.insert("logit_scale".into(), random(Vec::new()));
        let ids = Tensor::arange(0i64, 6, &Device::Cpu).expect("numbers");
        tensors.insert("text_model.embeddings.position_ids".into(), ids);
        let paths = ["model.safetensors", "config.json", "tokenizer.json"].map(|name| folder.join(name));
        candle_core::safetensors::save(&tensors, &paths[0]).expect("saved");
        fs_err::write(&paths[1], CONFIG).expect("written");
        fs_err::write(&paths[2], TOKENIZER).expect("written");
        paths
    }

    #[test]
    fn a_hubs_text_tower_is_kept_beside_the_network() {
        let folder = tempfile::tempdir().expect("a folder");
        let [weights, config, tokenizer] = hub(folder.path());
        let made = |tokenizer| {
            published_backbone(Published::Clip, &weights, (Some(config.as_path()), tokenizer), 64)
        };
        let (plain, with_text) = (made(None).expect("made"), made(Some(tokenizer.as_path())).expect("made"));
        assert_eq!(TextTower::file_in(&plain).expect("safetensors"), None);
        let text = TextTower::file_in(&with_text).expect("safetensors").expect("it is there");
        let tower = TextTower::from_bytes(text).expect("sound");
        assert_eq!(tower.direction("long").expect("read").len(), 8);
        assert_eq!(tower.config().summary, 16);
        let [found, wanted] =
            [&with_text, &plain].map(|bytes| load_backbone(bytes).expect("sound").fingerprint().to_owned());
        assert_eq!(found, wanted);
    }

    #[test]
    fn files_that_make_no_text_tower_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let [weights, config, tokenizer] = hub(folder.path());
        let refused = |json: &str| {
            fs_err::write(&config, json).expect("written");
            let files = (Some(config.as_path()), Some(tokenizer.as_path()));
            let error = published_backbone(Published::Clip, &weights, files, 64).err();
            error.map_or_else(String::new, |error| format!("{error:#}"))
        };
        for (from, to, wanted) in [
            ("\"vocab_size\": 5", "\"vocab_size\": 7", "has shape"),
            (
                "\"num_attention_heads\": 2, \"vocab_size\"",
                "\"num_attention_heads\": 5, \"vocab_size\"",
                "divide",
            ),
            ("quick_gelu", "gelu", "hidden_act is gelu"),
            ("text_config", "words", "no text_config"),
        ] {
            assert!(CONFIG.contains(from), "{from}");
            let error = refused(&CONFIG.replace(from, to));
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
        fs_err::write(&tokenizer, "{}").expect("written");
        assert!(refused(CONFIG).contains("tokenizer.json"));
        let files = (None, Some(tokenizer.as_path()));
        let error = published_backbone(Published::Dinov2Vits14, &weights, files, 224).err();
        assert!(error.is_some());
    }
}
