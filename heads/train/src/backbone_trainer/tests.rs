use super::*;
use crate::{examples_of_renders, is_special};
use indicatif::ProgressBar;
use lapel_heads::{AlexNet, BACKBONE_LAYERS};
use rand::RngExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Small random weights of AlexNet's shapes.
fn start() -> HashMap<String, Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tensors = HashMap::new();
    for (at, _, _, shape) in BACKBONE_LAYERS {
        let spread = (6.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt();
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-spread..spread)).collect();
        let weight = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).expect("sized");
        tensors.insert(format!("features.{at}.weight"), weight);
        tensors.insert(
            format!("features.{at}.bias"),
            Tensor::zeros(shape[0], DType::F32, &Device::Cpu).expect("zeros"),
        );
    }
    tensors
}

fn schedule() -> BackboneSchedule {
    BackboneSchedule { epochs: 3, batch: 4, ..BackboneSchedule::default() }
}

/// 44 garments, of which every fourth is held out.
struct Garments {
    examples: Vec<Example>,
    canvases: CanvasCache,
    validation: Vec<bool>,
    recipes: Vec<HeadRecipe>,
}

impl Garments {
    fn new(folder: &Path) -> Self {
        let mut examples = examples_of_renders(1, 44);
        // One label each, so that two of them occur often enough.
        for (at, example) in examples.iter_mut().enumerate() {
            example.labels.retain(|name, _| !is_special(name) || name == "color");
            example.labels.insert("color".into(), ["red", "blue"][at % 2].into());
        }
        let canvases = CanvasCache::build(folder, &examples, 224, &ProgressBar::hidden()).expect("drawn");
        let validation = (0..44).map(|at| at % 4 == 0).collect();
        let recipes =
            vec![HeadRecipe { labels: vec!["red".into(), "blue".into()], ..HeadRecipe::special("color") }];
        Self { examples, canvases, validation, recipes }
    }

    fn train(&self, checkpoints: &Path, told: impl FnMut(Progress)) -> HashMap<String, Tensor> {
        let data = BackboneData {
            recipes: &self.recipes,
            examples: &self.examples,
            canvases: &self.canvases,
            validation: &self.validation,
        };
        train_backbone(&data, &start(), (&schedule(), checkpoints, &Device::Cpu), told).expect("trained")
    }
}

fn bits(tensors: &HashMap<String, Tensor>) -> Vec<(String, Vec<u32>)> {
    let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
    let mut all: Vec<_> = tensors
        .iter()
        .map(|(n, t)| (n.clone(), values(t).expect("f32").iter().map(|v| v.to_bits()).collect()))
        .collect();
    all.sort();
    all
}

#[test]
fn all_layers_move_and_an_interrupted_run_ends_with_the_same_weights() {
    let folder = tempfile::tempdir().expect("folder");
    let garments = Garments::new(folder.path());
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    for folder in [&whole, &cut] {
        std::fs::create_dir(folder).expect("created");
    }
    let mut losses = Vec::new();
    let wanted = garments.train(&whole, |p| {
        if p.validation.is_some() {
            losses.push(p.loss);
        }
    });
    assert!(losses.len() == 3 && losses.iter().all(|l| l.is_finite()), "{losses:?}");
    for (name, before) in start() {
        let moved = (&before - &wanted[&name]).and_then(|d| d.abs()?.sum_all()?.to_scalar::<f32>());
        assert!(moved.expect("same shape") > 0.0, "{name} did not move");
    }
    assert!(AlexNet::new(&wanted).is_ok(), "the names and shapes are torchvision's");
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        garments.train(&cut, |p| assert!(p.validation.is_none() || p.epoch < 2, "interrupted"));
    }));
    assert!(interrupted.is_err());
    let found = garments.train(&cut, |_| {});
    assert_eq!(bits(&found), bits(&wanted));
}
