use super::*;
use candle_core::Device;
use lapel_fit::calibration_error;
use lapel_heads::SignatureKind;

/// 160 photos of two labels, told by the first of three inputs; one in ten labels is wrong.
fn pictures() -> (Pictures, Vec<Option<u16>>) {
    let photos = 160;
    let rows: Vec<[f32; 3]> = (0..photos)
        .map(|i| [(i % 2) as f32 + 0.3 * (i as f32 * 1.7).sin(), (i as f32 * 0.9).cos(), 5.0])
        .collect();
    let tensor = Tensor::from_vec(rows.concat(), (photos, 3), &Device::Cpu).expect("tensor");
    let scaling = Scaling::of(&tensor).expect("scaling");
    let labels = (0..photos).map(|i| Some(((i % 2) ^ usize::from(i % 10 == 0)) as u16)).collect();
    let pictures = Pictures {
        photo: (0..photos).collect(),
        draw: vec![Draw::Plain; photos],
        fold: (0..photos).map(|i| Some(i / 3 % FOLDS)).collect(),
        refit: true,
        inputs: scaling.apply(&tensor).expect("scaled"),
        scaling,
    };
    (pictures, labels)
}

fn attribute() -> Attribute {
    Attribute { name: "mood".into(), labels: vec!["calm".into(), "loud".into()] }
}

#[test]
fn a_probe_tells_what_can_be_told_and_knows_how_sure_it_may_be() {
    let (pictures, labels) = pictures();
    let probe = fit_probe(&attribute(), labels.clone(), &pictures).expect("fitted");
    let (accuracy, balanced) = probe.held_out_accuracy();
    assert!(accuracy > 0.8 && balanced > 0.8, "{accuracy} {balanced}");
    let error = calibration_error(&probe.held_out, &labels);
    assert!(error < 0.08, "one label in ten is wrong, and it says so: {error}");
    assert!(probe.held_out.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
}

#[test]
fn photos_that_the_backbone_learnt_from_do_not_tell_how_sure_it_may_be() {
    let (mut pictures, labels) = pictures();
    pictures.fold = (0..160).map(|i| (i % 4 == 0).then_some(0)).collect();
    let probe = fit_probe(&attribute(), labels.clone(), &pictures).expect("fitted");
    assert!(probe.held_out.iter().zip(&pictures.fold).all(|(row, fold)| row.is_empty() == fold.is_none()));
    let (accuracy, _) = probe.held_out_accuracy();
    assert!(accuracy > 0.6, "{accuracy}");
    // Held out are labels 0 and, wrongly labelled, 1: the prototype of 1 has the others' help.
    let manifest = Manifest {
        signature: SignatureKind::Probabilities,
        exponent: 0.5,
        ..Manifest::external("mood", 2, vec![attribute()])
    };
    let sums = probe.prototype_sums(&manifest);
    assert!(sums.iter().all(|sum| sum.mean().iter().any(|v| *v > 0.0)), "every label has a prototype");
}

#[test]
fn other_labels_give_another_probe() {
    let (pictures, labels) = pictures();
    let inverted: Vec<_> = labels.iter().map(|l| l.map(|l| 1 - l)).collect();
    let of = |labels| fit_probe(&attribute(), labels, &pictures).expect("fitted").held_out[1].clone();
    let (plain, inverted) = (of(labels), of(inverted));
    assert!((plain[0] - inverted[1]).abs() < 1e-3 && plain[0] != plain[1], "{plain:?} {inverted:?}");
}

#[test]
fn the_folded_layer_reads_the_backbones_own_numbers() {
    let (pictures, labels) = pictures();
    let probe = fit_probe(&attribute(), labels, &pictures).expect("fitted");
    let (weight, bias) = pictures.scaling.folded(&probe.linear).expect("folded");
    let scaled = probe.linear.logits(&pictures.inputs).expect("logits");
    // The third input never changes, so nothing hangs on it.
    let own = [1.0 + 0.3 * 1.7f32.sin(), 0.9f32.cos(), 123.0];
    let logit: f32 = bias[0] + weight[..3].iter().zip(own).map(|(w, v)| w * v).sum::<f32>();
    assert!((logit - scaled[1][0]).abs() < 1e-3, "{logit} {}", scaled[1][0]);
}
