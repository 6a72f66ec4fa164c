use super::*;
use crate::backbone::inverted::tests::random_picture;
use crate::bundle::weights;
use candle_core::{IndexOp, Module};
use candle_transformers::models::clip::vision_model::ClipVisionTransformer;
use candle_transformers::models::siglip::VisionModel;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use std::path::Path;

const KINDS: [TransformerKind; 3] = [TransformerKind::DinoV2, TransformerKind::Clip, TransformerKind::SigLip];
const SIDE: usize = 48;

fn small(kind: TransformerKind) -> TransformerConfig {
    let (mean, deviation) = kind.normalisation();
    TransformerConfig {
        kind,
        hidden_size: 24,
        intermediate_size: 40,
        layers: 2,
        heads: 3,
        patch_size: 8,
        mean,
        deviation,
    }
}

/// Random weights, norms' among them, with a position table of the pictures' grid.
fn random_tensors(config: &TransformerConfig) -> BTreeMap<String, Weights> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let random = |(name, shape): (String, Vec<usize>)| {
        let data = (0..shape.iter().product()).map(|_| rng.random_range(-0.4..0.4)).collect();
        (name, Weights { shape, data })
    };
    config.tensors(config.grid(SIDE)).into_iter().map(random).collect()
}

fn builder(tensors: &BTreeMap<String, Weights>) -> VarBuilder<'static> {
    let tensor = |(name, w): (&String, &Weights)| {
        let tensor = Tensor::from_slice(&w.data, w.shape.as_slice(), &Device::Cpu).expect("a tensor");
        (name.clone(), tensor)
    };
    VarBuilder::from_tensors(tensors.iter().map(tensor).collect(), DType::F32, &Device::Cpu)
}

fn pixels(network: &VisionTransformer, picture: &[u8]) -> Tensor {
    let plane = |c: usize| picture.chunks_exact(3).map(move |p| network.normalised[c][usize::from(p[c])]);
    let planes: Vec<f32> = (0..3).flat_map(plane).collect();
    Tensor::from_vec(planes, (1, 3, network.side, network.side), &Device::Cpu).expect("a picture")
}

fn worst(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(f, w)| (f - w).abs()).fold(0.0, f32::max)
}

/// Names as the hubs' files of one layer have them, written down from these.
#[test]
fn tensors_are_named_as_on_the_hubs() {
    let encoder = "post_layernorm.weight post_layernorm.bias \
        encoder.layers.0.self_attn.q_proj.weight encoder.layers.0.self_attn.q_proj.bias \
        encoder.layers.0.self_attn.k_proj.weight encoder.layers.0.self_attn.k_proj.bias \
        encoder.layers.0.self_attn.v_proj.weight encoder.layers.0.self_attn.v_proj.bias \
        encoder.layers.0.self_attn.out_proj.weight encoder.layers.0.self_attn.out_proj.bias \
        encoder.layers.0.layer_norm1.weight encoder.layers.0.layer_norm1.bias \
        encoder.layers.0.mlp.fc1.weight encoder.layers.0.mlp.fc1.bias \
        encoder.layers.0.mlp.fc2.weight encoder.layers.0.mlp.fc2.bias \
        encoder.layers.0.layer_norm2.weight encoder.layers.0.layer_norm2.bias \
        embeddings.patch_embedding.weight embeddings.position_embedding.weight";
    let clip = "embeddings.class_embedding pre_layrnorm.weight pre_layrnorm.bias";
    let siglip = "embeddings.patch_embedding.bias head.probe head.attention.in_proj_weight \
        head.attention.in_proj_bias head.attention.out_proj.weight head.attention.out_proj.bias \
        head.layernorm.weight head.layernorm.bias head.mlp.fc1.weight head.mlp.fc1.bias head.mlp.fc2.weight \
        head.mlp.fc2.bias";
    let dinov2 = "cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias norm.weight norm.bias \
        blocks.0.norm1.weight blocks.0.norm1.bias blocks.0.attn.qkv.weight blocks.0.attn.qkv.bias \
        blocks.0.attn.proj.weight blocks.0.attn.proj.bias blocks.0.ls1.gamma blocks.0.norm2.weight \
        blocks.0.norm2.bias blocks.0.mlp.fc1.weight blocks.0.mlp.fc1.bias blocks.0.mlp.fc2.weight \
        blocks.0.mlp.fc2.bias blocks.0.ls2.gamma";
    let of_tower = |own: &str| -> Vec<String> {
        encoder
            .split_whitespace()
            .chain(own.split_whitespace())
            .map(|n| format!("vision_model.{n}"))
            .collect()
    };
    let wanted = [dinov2.split_whitespace().map(str::to_owned).collect(), of_tower(clip), of_tower(siglip)];
    for (kind, mut wanted) in KINDS.into_iter().zip(wanted) {
        let config = TransformerConfig { layers: 1, ..small(kind) };
        let mut found: Vec<String> = config.tensors(6).into_iter().map(|(name, _)| name).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{kind:?}");
    }
}

#[test]
fn a_picture_gives_the_same_alone_and_in_a_batch() {
    for kind in KINDS {
        let config = small(kind);
        let network =
            VisionTransformer::from_tensors(&config, SIDE, &random_tensors(&config)).expect("sound");
        let pictures: Vec<Vec<u8>> = (0..3).map(|seed| random_picture(SIDE, seed)).collect();
        let batch: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        let together = network.vectors(&batch).expect("pictures");
        assert!(together.iter().flatten().all(|v| v.is_finite()) && together[0] != together[1], "{kind:?}");
        for (picture, vector) in batch.iter().zip(&together) {
            assert_eq!(vector.len(), 2 * config.hidden_size);
            assert_eq!(&network.vectors(&[picture]).expect("a picture")[0], vector, "{kind:?}");
        }
        assert!(matches!(network.vectors(&[&pictures[0][1..]]), Err(BackboneFault::Picture { .. })));
    }
}

#[test]
fn summaries_are_candles_pooled_outputs() {
    let picture = random_picture(SIDE, 3);
    for kind in [TransformerKind::Clip, TransformerKind::SigLip] {
        let config = small(kind);
        let tensors = random_tensors(&config);
        let network = VisionTransformer::from_tensors(&config, SIDE, &tensors).expect("sound");
        let pixels = pixels(&network, &picture);
        let weights = builder(&tensors).pp("vision_model");
        let wanted = if kind == TransformerKind::Clip {
            ClipVisionTransformer::new(weights, &clip::tower(&config, SIDE)).and_then(|t| t.forward(&pixels))
        } else {
            VisionModel::new(&siglip::tower(&config, SIDE), true, weights).and_then(|t| t.forward(&pixels))
        };
        let wanted = wanted.and_then(|pooled| pooled.i(0)?.to_vec1::<f32>()).expect("pooled");
        let found = &network.vectors(&[&picture]).expect("a picture")[0][..config.hidden_size];
        assert!(worst(found, &wanted) < 1e-5, "{kind:?}: {}", worst(found, &wanted));
    }
}

/// The published DINOv2 on a photo, against another runtime's tokens and position table. The weights are no part of the
/// repository: the folder is `LAPEL_BACKBONES`, or `shared/data/backbones` beside the checkout.
#[test]
fn published_weights_give_the_golden_tokens() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/backbones");
    let folder = std::env::var_os("LAPEL_BACKBONES").map_or(beside, Into::into);
    let [golden, published] =
        ["golden.safetensors", "dinov2_vits14_f16.safetensors"].map(|file| folder.join(file));
    if let Some(missing) = [&golden, &published].into_iter().find(|path| !path.exists()) {
        eprintln!("NOT RUN: {} is not there, DINOv2 was not compared", missing.display());
        return;
    }
    let (golden, published) = (fs_err::read(golden).expect("read"), fs_err::read(published).expect("read"));
    let golden = SafeTensors::deserialize(&golden).expect("safetensors");
    let published = SafeTensors::deserialize(&published).expect("safetensors");
    let read = |name: &str, view| weights(name, &view).expect("numbers");
    let tensors: BTreeMap<String, Weights> =
        published.tensors().into_iter().map(|(name, view)| (name.clone(), read(&name, view))).collect();
    let config = TransformerConfig::dinov2_vits14();
    let network = VisionTransformer::from_tensors(&config, 224, &tensors).expect("sound");

    let table = &builder(&tensors).get((1, 1370, 384), "pos_embed").expect("a table");
    let table = positions::resampled(&config, 224, table).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    let off = worst(&table.expect("resampled"), &tensors["pos_embed_224"].data);
    eprintln!("the position table differs by {off}");
    assert!(off < 1e-3, "{off}");

    let picture = golden.tensor("rgb").expect("a picture").data();
    let Tokens { summary, patches } = network.tokens(picture).expect("tokens");
    let tokens = Tensor::cat(&[summary.unsqueeze(0).expect("a row"), patches], 0).expect("rows");
    let tokens = tokens.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("numbers");
    let wanted = read("tokens", golden.tensor("dinov2_vits14.tokens").expect("tokens"));
    let largest = wanted.data.iter().fold(0f32, |most, v| most.max(v.abs()));
    let off = worst(&tokens, &wanted.data);
    eprintln!("tokens differ by {off} of {largest}");
    assert!(off < 1e-2 * largest.max(1.0), "{off} of {largest}");
}
