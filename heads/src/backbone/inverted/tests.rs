use super::layout::{Layout, Stage};
use super::plain::{PlainMap, doubled, plain_maps};
use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::path::Path;

const BOTH: [Architecture; 2] = [Architecture::EfficientNetLite0, Architecture::MobileNetV2];

/// Weights that keep maps in the range where ReLU6 clamps some of them.
pub(crate) fn random_tensors(layout: &Layout, seed: u64) -> BTreeMap<String, Weights> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = BTreeMap::new();
    for convolution in layout.convolutions() {
        let shape = convolution.shape;
        let scale = (6.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let mut random = |shape: &[usize], scale: f32| {
            let count = shape.iter().product();
            let data = (0..count).map(|_| rng.random_range(-scale..scale)).collect();
            Weights { shape: shape.to_vec(), data }
        };
        tensors.insert(tensor_name(convolution, "weight"), random(&shape, scale));
        tensors.insert(tensor_name(convolution, "bias"), random(&shape[..1], 0.5));
    }
    tensors
}

pub(crate) fn random_picture(side: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..side * side * 3).map(|_| rng.random()).collect()
}

/// A few blocks of every kind with odd numbers of channels.
pub(crate) fn small_layout(architecture: Architecture) -> Layout {
    let stage = |[repeats, kernel, stride, expansion, channels]: [usize; 5]| Stage {
        repeats,
        kernel,
        stride,
        expansion,
        channels,
    };
    let stages = [[1, 3, 1, 1, 5], [2, 3, 2, 6, 24], [2, 5, 2, 3, 9], [1, 3, 2, 2, 40], [2, 5, 1, 6, 12]];
    architecture.layout_of(12, &stages.map(stage), 50)
}

fn all_taps(layout: &Layout) -> Vec<Tap> {
    (0..layout.blocks.len()).map(Tap::Block).chain([Tap::Head]).collect()
}

fn assert_close(found: &Map, wanted: &PlainMap, tolerance: f64, what: &str) {
    let Map { channels, height, width, data } = found;
    assert_eq!((*channels, *height, *width), (wanted.channels, wanted.side, wanted.side), "{what}");
    assert_eq!(data.len(), wanted.data.len());
    let largest = wanted.data.iter().fold(1f64, |most, v| most.max(v.abs()));
    let worst = data.iter().zip(&wanted.data).map(|(f, w)| (f64::from(*f) - w).abs()).fold(0f64, f64::max);
    assert!(worst < tolerance * largest, "{what}: {worst} of {largest}");
}

/// Odd numbers of channels, odd sides, every kind of filter, every level.
#[test]
fn small_networks_agree_with_plain_loops() {
    for (seed, architecture) in BOTH.into_iter().enumerate() {
        let layout = small_layout(architecture);
        let (tensors, taps) = (random_tensors(&layout, seed as u64), all_taps(&layout));
        for side in [1, 2, 32, 45, 50, 63, 96] {
            let picture = random_picture(side, side as u64);
            let wanted = plain_maps(&layout, &doubled(&tensors), &picture, side, &taps);
            for level in Level::available() {
                let network = InvertedResidual::new(level, layout.clone(), &tensors).expect("sound");
                let found = network.forward(&[&picture], side, &taps).expect("a picture");
                for ((found, wanted), tap) in found[0].iter().zip(&wanted).zip(&taps) {
                    let what = format!("{architecture:?} {side} {level:?} {tap:?}");
                    assert_close(found, wanted, 2e-5, &what);
                }
            }
        }
    }
}

/// The published tables of layers, with random weights.
#[test]
fn whole_networks_agree_with_plain_loops() {
    for architecture in BOTH {
        let layout = architecture.layout();
        let (tensors, taps) = (random_tensors(&layout, 7), all_taps(&layout));
        let picture = random_picture(64, 1);
        let wanted = plain_maps(&layout, &doubled(&tensors), &picture, 64, &taps);
        for level in Level::available() {
            let network = InvertedResidual::new(level, layout.clone(), &tensors).expect("sound");
            let found = network.forward(&[&picture], 64, &taps).expect("a picture");
            for ((found, wanted), tap) in found[0].iter().zip(&wanted).zip(&taps) {
                assert_close(found, wanted, 1e-4, &format!("{architecture:?} {level:?} {tap:?}"));
            }
        }
    }
}

#[test]
fn a_batch_is_its_pictures_bit_for_bit() {
    for architecture in BOTH {
        let layout = architecture.layout();
        let network =
            InvertedResidual::new(Level::best(), layout.clone(), &random_tensors(&layout, 3)).expect("sound");
        for side in [32, 160] {
            let pictures: Vec<Vec<u8>> = (0..9).map(|seed| random_picture(side, seed)).collect();
            let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
            let taps = [Tap::Block(4), Tap::Head];
            let together = network.forward(&pictures, side, &taps).expect("pictures");
            for (picture, maps) in pictures.iter().zip(&together) {
                assert_eq!(&network.forward(&[picture], side, &taps).expect("a picture")[0], maps);
            }
        }
    }
}

#[test]
fn the_first_blocks_alone_give_the_maps_of_the_whole_network() {
    for architecture in BOTH {
        let mut tensors = random_tensors(&architecture.layout(), 5);
        let whole = InvertedResidual::from_tensors(architecture, &tensors).expect("sound");
        tensors.retain(|name, _| {
            let later = architecture.layout().blocks[9..].iter().any(|b| name.starts_with(&b.project.name));
            !later && !name.starts_with("_conv_head")
        });
        let part = InvertedResidual::first_blocks(architecture, 9, &tensors).expect("sound");
        assert_eq!(part.blocks(), 9);
        let (picture, taps) = (random_picture(96, 2), [Tap::Block(2), Tap::Block(8)]);
        assert_eq!(
            part.forward(&[&picture], 96, &taps).expect("maps"),
            whole.forward(&[&picture], 96, &taps).expect("maps")
        );
        assert_eq!(part.forward(&[&picture], 96, &[Tap::Head]), Err(BackboneFault::NoHead));
        let none = BackboneFault::Tap { number: 9, blocks: 9 };
        assert_eq!(part.forward(&[&picture], 96, &[Tap::Block(9)]), Err(none));
    }
}

#[test]
fn faults_are_told_apart() {
    let layout = small_layout(Architecture::MobileNetV2);
    let sound = random_tensors(&layout, 0);
    let fault = |change: &dyn Fn(&mut BTreeMap<String, Weights>)| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        InvertedResidual::new(Level::best(), layout.clone(), &tensors).err()
    };
    let name = "features.2.conv.3.weight".to_owned();
    let shape = sound[&name].shape.clone();
    let missing = fault(&|tensors| drop(tensors.remove(&name)));
    assert_eq!(missing, Some(BackboneFault::MissingTensor { name: name.clone(), shape: shape.clone() }));
    let other = fault(&|tensors| tensors.get_mut(&name).expect("there").shape.reverse());
    assert!(matches!(other, Some(BackboneFault::Shape { wanted, .. }) if wanted == shape));
    let odd = fault(&|tensors| tensors.get_mut(&name).expect("there").data[3] = f32::NAN);
    assert_eq!(odd, Some(BackboneFault::NotFinite { name }));
    let network = InvertedResidual::new(Level::best(), layout.clone(), &sound).expect("sound");
    let short = network.forward(&[&[0; 3 * 32 * 32 - 1]], 32, &[Tap::Head]);
    assert_eq!(short, Err(BackboneFault::Picture { side: 32, found: 3071, wanted: 3072 }));
    let beyond = network.forward(&[], 32, &[Tap::Block(8)]);
    assert_eq!(beyond, Err(BackboneFault::Tap { number: 8, blocks: 8 }));
}

fn tensors_of(path: &Path) -> BTreeMap<String, Weights> {
    let bytes = fs_err::read(path).expect("readable");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let data = match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            _ => view.data().iter().map(|b| f32::from(*b)).collect(),
        };
        (name, Weights { shape: view.shape().to_vec(), data })
    };
    file.tensors().into_iter().map(read).collect()
}

/// The published weights on a photo, against another runtime's maps. They are no part of the repository: the folder is
/// `LAPEL_BACKBONES`, or `shared/data/backbones` beside the checkout.
#[test]
fn published_weights_give_the_golden_maps() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/backbones");
    let folder = std::env::var_os("LAPEL_BACKBONES").map_or(beside, Into::into);
    let golden = folder.join("golden.safetensors");
    if !golden.exists() {
        eprintln!("NOT RUN: {} is not there, the published backbones were not compared", golden.display());
        return;
    }
    let golden = tensors_of(&golden);
    let picture: Vec<u8> = golden["rgb"].data.iter().map(|value| *value as u8).collect();
    for (architecture, name) in BOTH.into_iter().zip(["efficientnet_lite0", "mobilenetv2"]) {
        let tensors = tensors_of(&folder.join(format!("{name}.safetensors")));
        let wanted = &golden[&format!("{name}.map")];
        for level in Level::available() {
            let network = InvertedResidual::new(level, architecture.layout(), &tensors).expect("sound");
            let found = &network.forward(&[&picture], 224, &[Tap::Head]).expect("a picture")[0][0];
            assert_eq!((found.channels, found.height, found.width), (1280, 7, 7));
            let mut worst = 0f32;
            for (pixel, values) in found.data.chunks_exact(1280).enumerate() {
                for (channel, value) in values.iter().enumerate() {
                    worst = worst.max((value - wanted.data[channel * 49 + pixel]).abs());
                }
            }
            eprintln!("{name} {level:?}: differs by {worst}");
            assert!(worst < 1e-4, "{name} {level:?}: {worst}");
        }
    }
}
