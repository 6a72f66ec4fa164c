//! The verb `train`: heads as linear probes on a backbone of views.

use crate::data::progress_bar;
use crate::train_report::{Report, say};
use anyhow::Context;
use candle_core::Tensor;
use clap::Args;
use lapel_heads::{
    Attribute, BACKBONE_FILE, Backbone, Bundle, EXTRACT_PARTS_FILE, FeatureLayout, Head, PARTS_ATTRIBUTE,
    PartsCase, Region, load_backbone, shipped_folder,
};
use lapel_train::probes::{
    Draw, Edit, EditWeights, EditedHead, FOLDS, Picture, Pictures, Probe, ProbeModel, Scaling, Table,
    TablePhoto, VectorCache, choose_weights, draw_edits, fit_probe, numbers, probe_bundles,
};
use lapel_train::{Published, parts_case, published_backbone};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much the asked label counts in the choice of weights beside what is kept; the front is in docs/figures.md.
const EMPHASIS: f64 = 0.5;
/// Emphases of the front that is drawn.
const FRONT: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
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
    /// The backbone's file (default: the shipped one).
    #[arg(long)]
    backbone: Option<PathBuf>,
    /// Make the backbone from the weights of a published network, a safetensors file, and write it to --out. Batch
    /// norm is folded.
    #[arg(long, conflicts_with = "backbone")]
    weights: Option<PathBuf>,
    /// The network whose weights they are.
    #[arg(long, value_enum, default_value = "efficientnet-lite0")]
    architecture: Published,
    /// Of CLIP and SigLIP: the config.json that their hub has beside the weights.
    #[arg(long, requires = "weights")]
    config: Option<PathBuf>,
    /// Side of the views in pixels: a multiple of 32, or of a vision transformer's patches.
    #[arg(long, default_value_t = 224)]
    side: usize,
    /// Folder of the bundles that a single head will serve beside (default: the shipped ones).
    #[arg(long)]
    beside: Option<PathBuf>,
    /// Pictures made of each training photo: itself, jittered, on white, folded, and so on in turn.
    #[arg(long, default_value_t = 1)]
    draws: usize,
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
    let attributes = chosen(&table, &options.heads)?;
    let backbone = backbone(options)?;
    fs_err::create_dir_all(&options.out)?;
    let cache = VectorCache::open(&options.cache, backbone.as_ref(), options.seed)?;
    let draws = Draw::first(options.draws);
    let pictures = pictures(&cache, &table.training, &draws)?;
    let test = features(&cache, "measured", &table.test, &[Picture::Drawn(Draw::Plain)])?;
    let mut report = Report::default();

    if options.heads.is_empty() {
        let parts = parts_attribute();
        let case = |p: &TablePhoto| {
            let case = parts_case(&p.labels)?;
            PartsCase::ALL.iter().position(|known| *known == case).map(|at| at as u16)
        };
        let probe = fit_one(&parts, table.training.iter().map(case).collect(), &pictures)?;
        write(&options.out.join(EXTRACT_PARTS_FILE), &bundle(&probe, backbone.as_ref(), &pictures)?)?;
    }
    let bar = progress_bar("heads");
    bar.set_length(attributes.len() as u64);
    let mut probes = Vec::new();
    for attribute in &attributes {
        bar.set_message(attribute.name.clone());
        let probe = fit_one(attribute, numbers(attribute, &table.training), &pictures)?;
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
    let mut bundles: Vec<Bundle> =
        probes.iter().map(|p| bundle(p, backbone.as_ref(), &pictures)).collect::<anyhow::Result<_>>()?;
    let unweighed = ProbeModel::new(backbone.clone(), &bundles)?;
    if options.heads.is_empty() {
        weigh_all(&probes, &unweighed, &mut bundles, &mut report, options.seed);
    } else {
        let folder = options.beside.clone().unwrap_or_else(shipped_folder);
        weigh_new((&probes, &unweighed), &mut bundles, &folder, (&table, &cache), options.seed)?;
    }
    for bundle in &bundles {
        write(&options.out.join(format!("{}.safetensors", bundle.manifest.name)), bundle)?;
    }
    let model = ProbeModel::new(backbone.clone(), &bundles)?;
    report.measured = model.measure(&table.test, &test)?;
    if options.heads.is_empty() {
        report.edits = Some(model.edits(&table.test, &test, options.seed)?);
    }
    report.finish(&options.out, &bundles)
}

/// The attributes to learn: all of the table, or those that were named.
fn chosen(table: &Table, names: &[String]) -> anyhow::Result<Vec<Attribute>> {
    let all = table.attributes();
    if names.is_empty() {
        anyhow::ensure!(
            !all.is_empty(),
            "no attribute has two labels with enough photos; see `lapel-train check`"
        );
        return Ok(all);
    }
    let known = || all.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = all.iter().find(|a| &a.name == name).cloned();
        found.with_context(|| {
            format!("--heads {name}: there is no such attribute to learn; there are {}", known())
        })
    };
    names.iter().map(find).collect()
}

fn backbone(options: &Options) -> anyhow::Result<Arc<dyn Backbone>> {
    let path = match (&options.weights, &options.backbone) {
        (Some(weights), _) => {
            let (config, side) = (options.config.as_deref(), options.side);
            let bytes = published_backbone(options.architecture, weights, config, side)?;
            fs_err::create_dir_all(&options.out)?;
            let path = options.out.join(BACKBONE_FILE);
            fs_err::write(&path, bytes)?;
            path
        }
        (None, Some(path)) => path.clone(),
        (None, None) => shipped_folder().join(BACKBONE_FILE),
    };
    let loaded = load_backbone(&fs_err::read(&path)?).with_context(|| path.display().to_string())?;
    anyhow::ensure!(
        matches!(loaded.layout(), FeatureLayout::Vectors(_)),
        "{}: probes read a backbone of views; heads of regions are trained with train-paper",
        path.display()
    );
    Ok(loaded)
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

fn pictures(cache: &VectorCache<'_>, photos: &[TablePhoto], draws: &[Draw]) -> anyhow::Result<Pictures> {
    let drawn: Vec<Picture> = draws.iter().copied().map(Picture::Drawn).collect();
    let rows = features(cache, "training", photos, &drawn)?;
    let scaling = Scaling::of(&rows)?;
    // By content, so that a photo that is there twice lies in one fold.
    let fold = |p: &TablePhoto| p.content.map_or(0, |content| usize::from(content[1]) % FOLDS);
    Ok(Pictures {
        photo: (0..photos.len()).flat_map(|at| draws.iter().map(move |_| at)).collect(),
        draw: photos.iter().flat_map(|_| draws.iter().copied()).collect(),
        fold: photos.iter().map(fold).collect(),
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

fn bundle(probe: &Probe, backbone: &dyn Backbone, pictures: &Pictures) -> anyhow::Result<Bundle> {
    let region = match probe.attribute.name.as_str() {
        "sleeve_length" => Region::Sleeves,
        "collar" | "neckline" => Region::Collar,
        _ => Region::Whole,
    };
    let labelled = probe.labels.iter().flatten().count();
    let of = (backbone.fingerprint(), &backbone.layout());
    probe.bundle(of, (region, &pictures.scaling), &format!("linear probe on {labelled} labelled photos"))
}

/// The heads' part in edits of training photos, by the probes that did not see them.
fn held_out_heads(probes: &[Probe], model: &ProbeModel) -> Vec<EditedHead> {
    let count = probes.first().map_or(0, |p| p.labels.len()).min(CHOSEN_ON);
    let head = |(probe, head): (&Probe, &Head)| {
        EditedHead::new(head, probe.labels[..count].to_vec(), &probe.held_out[..count])
    };
    probes.iter().zip(&model.heads).map(head).collect()
}

/// Chooses the weights of all heads together, on photos as the heads see them that did not learn from them.
fn weigh_all(probes: &[Probe], model: &ProbeModel, bundles: &mut [Bundle], report: &mut Report, seed: u64) {
    let heads = held_out_heads(probes, model);
    let edits = some(draw_edits(&heads, seed));
    let free: Vec<usize> = (0..heads.len()).collect();
    let start =
        EditWeights { weight: vec![1.0; heads.len()], changed: vec![3.0; heads.len()], confidence: 1.0 };
    let bar = progress_bar("weights");
    bar.set_length(FRONT.len() as u64);
    for emphasis in FRONT {
        report.front.push(choose_weights((&heads, &free), &edits, emphasis, &start));
        bar.inc(1);
    }
    bar.finish();
    let Some(chosen) = report.front.iter().find(|c| (c.emphasis - EMPHASIS).abs() < 1e-9) else { return };
    put(bundles, &chosen.weights);
}

fn put(bundles: &mut [Bundle], weights: &EditWeights) {
    for (at, bundle) in bundles.iter_mut().enumerate() {
        bundle.manifest.weight = weights.weight[at] as f32;
        bundle.manifest.changed_weight = weights.changed[at] as f32;
        bundle.manifest.confidence = weights.confidence as f32;
    }
}

/// Fits the two weights of new heads with those of the others fixed.
fn weigh_new(
    (probes, model): (&[Probe], &ProbeModel),
    bundles: &mut [Bundle],
    folder: &Path,
    (table, cache): (&Table, &VectorCache<'_>),
    seed: u64,
) -> anyhow::Result<()> {
    let is_new =
        |bundle: &Bundle| probes.iter().any(|p| p.attribute.name == bundle.manifest.attributes[0].name);
    let mut others = probe_bundles(folder, model.backbone.as_ref())?;
    others.retain(|bundle| !is_new(bundle));
    if others.is_empty() {
        return Ok(());
    }
    let others = ProbeModel::new(model.backbone.clone(), &others)?;
    let photos = &table.training[..table.training.len().min(CHOSEN_ON)];
    let plain = features(cache, "weighed", photos, &[Picture::Drawn(Draw::Plain)])?;
    let mut heads = held_out_heads(probes, model);
    let free: Vec<usize> = (0..heads.len()).collect();
    heads.extend(others.edited(photos, &plain)?);
    let EditWeights { weight, changed, confidence } = others.weights();
    let usual = changed.iter().sum::<f64>() / changed.len() as f64;
    let start = EditWeights {
        weight: free.iter().map(|_| 1.0).chain(weight).collect(),
        changed: free.iter().map(|_| usual).chain(changed).collect(),
        confidence,
    };
    let edits = some(draw_edits(&heads, seed));
    put(bundles, &choose_weights((&heads, &free), &edits, EMPHASIS, &start).weights);
    Ok(())
}

/// Of all edits as many as weights are chosen by, spread evenly.
fn some(edits: Vec<Edit>) -> Vec<Edit> {
    let step = edits.len().div_ceil(CHOSEN_BY).max(1);
    edits.into_iter().step_by(step).collect()
}

fn write(path: &Path, bundle: &Bundle) -> anyhow::Result<()> {
    Ok(fs_err::write(path, bundle.to_bytes()?)?)
}
