//! The verb `train`: heads as linear probes on a backbone of views.

use crate::backbone_options::BackboneOptions;
use crate::data::progress_bar;
use crate::train_report::{Report, say};
use anyhow::Context;
use candle_core::Tensor;
use clap::Args;
use lapel_heads::{
    Attribute, BACKBONE_FILE, Backbone, Bundle, EXTRACT_PARTS_FILE, Head, PARTS_ATTRIBUTE, PartsCase, Region,
    load_backbone, shipped_folder,
};
use lapel_train::probes::{
    Choice, Draw, Edit, EditWeights, EditedHead, Picture, Pictures, Probe, ProbeModel, Scaling, Shares,
    Table, TablePhoto, VectorCache, choose_weights, draw_edits, fit_probe, numbers, probe_bundles,
};
use lapel_train::{parts_case, write_whole};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much the asked label counts in the choice of weights beside what is kept; the front is in docs/figures.md.
const EMPHASIS: f64 = 0.375;
/// The power of probabilities in signatures where nothing is chosen: their roots.
const USUAL: f32 = 0.5;
/// Powers of probabilities that signatures are tried with.
const EXPONENTS: [f32; 4] = [0.35, 0.5, 0.7, 1.0];
/// Emphases of the front that is drawn.
const FRONT: [f64; 6] = [0.0, 0.25, 0.375, 0.5, 0.75, 1.0];
/// Photos that weights are chosen on.
const CHOSEN_ON: usize = 1400;
/// Edits that weights are chosen by.
const CHOSEN_BY: usize = 1500;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with labels.csv and images/: rows `train` are learnt from, rows `val` measured on; without the column
    /// `split` a hash of the name decides.
    #[arg(long)]
    wardrobe: PathBuf,
    /// Train only the heads of these attributes; their two weights are fitted beside those of the heads in --beside.
    #[arg(long, value_delimiter = ',')]
    heads: Vec<String>,
    /// Where the files go; nothing else is written.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    backbone: BackboneOptions,
    /// Folder of the bundles that a single head will serve beside (default: the shipped ones).
    #[arg(long)]
    beside: Option<PathBuf>,
    /// Pictures made of each training photo: itself, jittered, on white, folded, and so on in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    draws: u8,
    /// Folder of computed features.
    #[arg(long, default_value = "cache")]
    cache: PathBuf,
    /// Seed of draws and edits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let table = Table::read(&options.wardrobe)?;
    crate::check::refuse_unsound(&table)?;
    let attributes = attributes(&table, &options.heads)?;
    let chosen = options.backbone.read()?;
    let backbone = load_backbone(&chosen.bytes).with_context(|| chosen.from.display().to_string())?;
    let beside = beside(options, backbone.as_ref(), chosen.is_new)?;
    let cache = VectorCache::open(&options.cache, backbone.as_ref(), options.seed)?;
    let draws = Draw::first(usize::from(options.draws));
    let pictures = pictures(&cache, &table.training, (&draws, chosen.manifest.tuned))?;
    let test = features(&cache, "measured", &table.test, &[Picture::Drawn(Draw::Plain)])?;
    let mut report = Report::default();

    // Everything is written at the end, so that a run that fails leaves nothing behind.
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    // A new backbone is served with all its files, and nobody has any of them yet.
    if chosen.is_new {
        files.push((BACKBONE_FILE.to_owned(), chosen.bytes));
    }
    if options.heads.is_empty() || chosen.is_new {
        let parts = parts_attribute();
        let case = |p: &TablePhoto| {
            let case = parts_case(&p.labels)?;
            PartsCase::ALL.iter().position(|known| *known == case).map(|at| at as u16)
        };
        let probe = fit_one(&parts, table.training.iter().map(case).collect(), &pictures)?;
        let bundle = bundle(&probe, backbone.as_ref(), &pictures, USUAL)?;
        files.push((EXTRACT_PARTS_FILE.to_owned(), bundle.to_bytes()?));
    }
    let probes = fit_all(&attributes, &table, &pictures)?;
    let bundles = if options.heads.is_empty() {
        let (bundles, front) = weigh_all((&probes, &backbone), &pictures, options.seed)?;
        report.front = front;
        bundles
    } else {
        weigh_new((&probes, &backbone), &pictures, beside, (&table, &cache), options.seed)?
    };
    for bundle in &bundles {
        files.push((format!("{}.safetensors", bundle.manifest.name), bundle.to_bytes()?));
    }
    let model = ProbeModel::new(backbone.clone(), &bundles)?;
    if !table.test.is_empty() {
        report.measured = model.measure(&table.test, &test)?;
    }
    if options.heads.is_empty() && !table.test.is_empty() {
        report.edits = Some(model.edits(&table.test, &test, options.seed)?);
    }
    fs_err::create_dir_all(&options.out)?;
    for (name, bytes) in files {
        write_whole(&options.out.join(name), &bytes)?;
    }
    report.finish(&options.out, &bundles, chosen.is_new)
}

/// The probe of each attribute, told as it is fitted.
fn fit_all(attributes: &[Attribute], table: &Table, pictures: &Pictures) -> anyhow::Result<Vec<Probe>> {
    let bar = progress_bar("heads");
    bar.set_length(attributes.len() as u64);
    let mut probes = Vec::new();
    for attribute in attributes {
        bar.set_message(attribute.name.clone());
        let probe = fit_one(attribute, numbers(attribute, &table.training), pictures)?;
        let (accuracy, balanced) = probe.held_out_accuracy();
        say(
            &bar,
            &format!(
                "{}: {:.1} % of held-out labels, balanced {:.1} %; decay {:.0e}, rare labels favoured by {}, \
                 temperature {:.2}",
                attribute.name,
                100.0 * accuracy,
                100.0 * balanced,
                probe.decay,
                probe.favoured,
                probe.temperature
            ),
        );
        probes.push(probe);
        bar.inc(1);
    }
    bar.finish();
    Ok(probes)
}

/// The heads that new ones will serve beside: none where all are trained, or the backbone is new.
fn beside(options: &Options, backbone: &dyn Backbone, is_new: bool) -> anyhow::Result<Vec<Bundle>> {
    if options.heads.is_empty() || is_new && options.beside.is_none() {
        return Ok(Vec::new());
    }
    let folder = options.beside.clone().unwrap_or_else(shipped_folder);
    let bundles = probe_bundles(&folder, backbone).with_context(|| folder.display().to_string())?;
    anyhow::ensure!(
        !bundles.is_empty(),
        "{} has no head of the backbone {}, and the weights of new heads are fitted beside those that they will serve with; \
         name their folder with --beside",
        folder.display(),
        backbone.fingerprint()
    );
    Ok(bundles)
}

/// The attributes to learn: all of the table, or those that were named.
pub(crate) fn attributes(table: &Table, names: &[String]) -> anyhow::Result<Vec<Attribute>> {
    let all = table.attributes();
    if names.is_empty() {
        anyhow::ensure!(
            !all.is_empty(),
            "no attribute has two labels with enough photos; see `lapel-train check`"
        );
        return Ok(all);
    }
    let known = || all.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    anyhow::ensure!(twice.is_none(), "--heads names {} twice", twice.map_or("", |(_, name)| name.as_str()));
    let find = |name: &String| {
        let found = all.iter().find(|a| &a.name == name).cloned();
        found.with_context(|| {
            format!("--heads {name}: there is no such attribute to learn; there are {}", known())
        })
    };
    names.iter().map(find).collect()
}

/// Features of pictures of photos, photo by photo, with a progress bar.
pub(crate) fn features(
    cache: &VectorCache<'_>,
    name: &str,
    photos: &[TablePhoto],
    pictures: &[Picture],
) -> anyhow::Result<Tensor> {
    let wanted: Vec<(&Path, Picture)> =
        photos.iter().flat_map(|p| pictures.iter().map(|picture| (p.path.as_path(), *picture))).collect();
    let bar = progress_bar(&format!("{name} pictures"));
    bar.set_length(wanted.len() as u64);
    let features = cache.features(&wanted, |done| bar.set_position(done as u64));
    bar.finish();
    features
}

/// Pictures of photos.
fn pictures(
    cache: &VectorCache<'_>,
    photos: &[TablePhoto],
    (draws, tuned): (&[Draw], bool),
) -> anyhow::Result<Pictures> {
    let drawn: Vec<Picture> = draws.iter().copied().map(Picture::Drawn).collect();
    let rows = features(cache, "training", photos, &drawn)?;
    let scaling = Scaling::of(&rows)?;
    Ok(Pictures {
        photo: (0..photos.len()).flat_map(|at| draws.iter().map(move |_| at)).collect(),
        draw: photos.iter().flat_map(|_| draws.iter().copied()).collect(),
        fold: photos.iter().map(|photo| photo.fold(tuned)).collect(),
        refit: true,
        inputs: scaling.apply(&rows)?,
        scaling,
    })
}

fn fit_one(attribute: &Attribute, labels: Vec<Option<u16>>, pictures: &Pictures) -> anyhow::Result<Probe> {
    fit_probe(attribute, labels, pictures).with_context(|| format!("the head {}", attribute.name))
}

fn parts_attribute() -> Attribute {
    Attribute { name: PARTS_ATTRIBUTE.into(), labels: PartsCase::ALL.map(|c| c.name().to_owned()).to_vec() }
}

fn bundle(
    probe: &Probe,
    backbone: &dyn Backbone,
    pictures: &Pictures,
    exponent: f32,
) -> anyhow::Result<Bundle> {
    let region = match probe.attribute.name.as_str() {
        "sleeve_length" => Region::Sleeves,
        "collar" | "neckline" => Region::Collar,
        _ => Region::Whole,
    };
    let labelled = probe.labels.iter().flatten().count();
    let of = (backbone.fingerprint(), &backbone.layout());
    let description = format!("linear probe on {labelled} labelled photos");
    probe.bundle(of, (region, &pictures.scaling), (exponent, &description))
}

/// The photos that weights are chosen on: held-out ones.
fn chosen_on(probes: &[Probe]) -> Vec<usize> {
    let rows = probes.first().map_or(&[][..], |probe| &probe.held_out);
    (0..rows.len()).filter(|at| !rows[*at].is_empty()).take(CHOSEN_ON).collect()
}

/// The heads' part in edits of some training photos, by the probes that did not see them.
fn held_out_heads(probes: &[Probe], model: &ProbeModel, photos: &[usize]) -> Vec<EditedHead> {
    let head = |(probe, head): (&Probe, &Head)| {
        let labels = photos.iter().map(|at| probe.labels[*at]).collect();
        let rows: Vec<Vec<f32>> = photos.iter().map(|at| probe.held_out[*at].clone()).collect();
        EditedHead::new(head, labels, &rows)
    };
    probes.iter().zip(&model.heads).map(head).collect()
}

/// The bundles of all heads with the weights and the exponent that are chosen for them together, on photos as the heads
/// see them that did not learn from them; and the front that the weights lie on.
fn weigh_all(
    (probes, backbone): (&[Probe], &Arc<dyn Backbone>),
    pictures: &Pictures,
    seed: u64,
) -> anyhow::Result<(Vec<Bundle>, Vec<Choice>)> {
    let (count, photos) = (probes.len(), chosen_on(probes));
    let free: Vec<usize> = (0..count).collect();
    let start = EditWeights { weight: vec![1.0; count], changed: vec![3.0; count], confidence: 1.0 };
    let bar = progress_bar("weights");
    bar.set_length((EXPONENTS.len() + FRONT.len()) as u64);
    let of = |exponent: f32| -> anyhow::Result<_> {
        let bundles = probes.iter().map(|probe| bundle(probe, backbone.as_ref(), pictures, exponent));
        let bundles: Vec<Bundle> = bundles.collect::<anyhow::Result<_>>()?;
        let heads = held_out_heads(probes, &ProbeModel::new(backbone.clone(), &bundles)?, &photos);
        let edits = some(draw_edits(&heads, seed));
        let chosen = choose_weights((&heads, &free), &edits, EMPHASIS, &start);
        bar.inc(1);
        Ok((chosen, bundles, heads, edits))
    };
    let tried = EXPONENTS.into_iter().map(of).collect::<anyhow::Result<Vec<_>>>()?;
    for (choice, ..) in &tried {
        let Shares { asked, category, both, .. } = choice.reached;
        let (exponent, measure) = (choice.exponent, choice.measure);
        let line = format!("asked {asked:.3}, category {category:.3}, both {both:.3}; measure {measure:.3}");
        say(&bar, &format!("signatures of probabilities to the power {exponent}: {line}"));
    }
    let best = tried.into_iter().max_by(|a, b| a.0.measure.total_cmp(&b.0.measure));
    let (chosen, mut bundles, heads, edits) = best.context("an exponent")?;
    put(&mut bundles, &chosen.weights);
    let mut front = Vec::new();
    for emphasis in FRONT {
        let is_chosen = (emphasis - EMPHASIS).abs() < 1e-9;
        let other = || choose_weights((&heads, &free), &edits, emphasis, &start);
        front.push(if is_chosen { chosen.clone() } else { other() });
        bar.inc(1);
    }
    bar.finish();
    Ok((bundles, front))
}

fn put(bundles: &mut [Bundle], weights: &EditWeights) {
    for (at, bundle) in bundles.iter_mut().enumerate() {
        bundle.manifest.weight = weights.weight[at] as f32;
        bundle.manifest.changed_weight = weights.changed[at] as f32;
        bundle.manifest.confidence = weights.confidence as f32;
    }
}

/// The bundles of new heads, their two weights fitted with those of the others fixed.
fn weigh_new(
    (probes, backbone): (&[Probe], &Arc<dyn Backbone>),
    pictures: &Pictures,
    mut others: Vec<Bundle>,
    (table, cache): (&Table, &VectorCache<'_>),
    seed: u64,
) -> anyhow::Result<Vec<Bundle>> {
    let is_new =
        |bundle: &Bundle| probes.iter().any(|p| p.attribute.name == bundle.manifest.attributes[0].name);
    others.retain(|bundle| !is_new(bundle));
    let exponent = others.first().map_or(USUAL, |bundle| bundle.manifest.exponent);
    let bundles = probes.iter().map(|probe| bundle(probe, backbone.as_ref(), pictures, exponent));
    let mut bundles: Vec<Bundle> = bundles.collect::<anyhow::Result<_>>()?;
    if others.is_empty() {
        return Ok(bundles);
    }
    let model = ProbeModel::new(backbone.clone(), &bundles)?;
    let others = ProbeModel::new(backbone.clone(), &others)?;
    let chosen = chosen_on(probes);
    let photos: Vec<TablePhoto> = chosen.iter().map(|at| table.training[*at].clone()).collect();
    let plain = features(cache, "weighed", &photos, &[Picture::Drawn(Draw::Plain)])?;
    let mut heads = held_out_heads(probes, &model, &chosen);
    let free: Vec<usize> = (0..heads.len()).collect();
    heads.extend(others.edited(&photos, &plain)?);
    let EditWeights { weight, changed, confidence } = others.weights();
    let usual = changed.iter().sum::<f64>() / changed.len() as f64;
    let start = EditWeights {
        weight: free.iter().map(|_| 1.0).chain(weight).collect(),
        changed: free.iter().map(|_| usual).chain(changed).collect(),
        confidence,
    };
    let edits = some(draw_edits(&heads, seed));
    put(&mut bundles, &choose_weights((&heads, &free), &edits, EMPHASIS, &start).weights);
    Ok(bundles)
}

/// Of all edits as many as weights are chosen by, spread evenly.
fn some(edits: Vec<Edit>) -> Vec<Edit> {
    let step = edits.len().div_ceil(CHOSEN_BY).max(1);
    edits.into_iter().step_by(step).collect()
}
