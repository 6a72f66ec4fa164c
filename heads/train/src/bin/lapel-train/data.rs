//! The options that say what is learnt from and measured on, and what is made of them.

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lapel_heads::{AlexNet, Attribute, Backbone, Head};
use lapel_train::dataset::{DataSet, FieldSet, PhotoSet, RenderSet, in_order};
use lapel_train::systems::Lesson;
use lapel_train::{Example, Prepared, Source, examples_of_renders};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One training photo in this many chooses epochs and settings instead of being learnt from; so does one
/// rendered garment in [`RENDERED_HELD`].
const PHOTOS_HELD: usize = 8;
const RENDERED_HELD: usize = 16;
const HELD_OUT_SEED: u64 = 0x5eed;

#[derive(Args, Clone)]
pub(crate) struct Data {
    /// Folder with labels.csv and images/: rows `train` are learnt from, rows `val` measured on.
    #[arg(long)]
    wardrobe: Option<PathBuf>,
    /// Folder in the field's file format (attr_num.txt, imgs_train.txt, labels_train.txt, ...).
    #[arg(long)]
    field: Option<PathBuf>,
    /// Folder that the paths in imgs_*.txt are relative to (default: the folder of --field).
    #[arg(long, requires = "field")]
    images: Option<PathBuf>,
    /// Rendered garments to train on; 0: none.
    #[arg(long, default_value_t = 5000)]
    rendered: u64,
    /// Rendered garments to measure on, of a seed that no training uses.
    #[arg(long, default_value_t = 5000)]
    rendered_test: u64,
    /// Folder of caches and checkpoints; a run that was cut off goes on from there.
    #[arg(long, default_value = "cache")]
    pub(crate) cache: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What is learnt from.
pub(crate) struct Training {
    pub(crate) examples: Vec<Example>,
    /// Which of them are held out to choose by.
    pub(crate) validation: Vec<bool>,
    /// For each data set, its own pictures among them as they are.
    pub(crate) rows: Vec<Vec<usize>>,
}

impl Data {
    /// The data sets.
    pub(crate) fn sets(&self) -> anyhow::Result<Vec<Box<dyn DataSet>>> {
        let mut sets: Vec<Box<dyn DataSet>> = Vec::new();
        if let Some(folder) = &self.wardrobe {
            sets.push(Box::new(PhotoSet::read(folder)?));
        }
        if let Some(folder) = &self.field {
            sets.push(Box::new(FieldSet::read(folder, self.images.as_ref().unwrap_or(folder))?));
        }
        if self.rendered > 0 {
            sets.push(Box::new(RenderSet::new(self.seed, self.rendered, self.rendered_test)));
        }
        anyhow::ensure!(!sets.is_empty(), "nothing to learn from: give --wardrobe, --field or --rendered");
        Ok(sets)
    }

    /// The training parts together, photos in so many variants.
    pub(crate) fn training(&self, sets: &[Box<dyn DataSet>], variants: u64) -> Training {
        let mut all = Training { examples: Vec::new(), validation: Vec::new(), rows: Vec::new() };
        for set in sets {
            let mut rows = Vec::new();
            for (at, example) in set.training().iter().enumerate() {
                let (variants, held) = match example.source {
                    Source::Photo(_) => (variants.max(1), PHOTOS_HELD),
                    Source::Render(..) => (1, RENDERED_HELD),
                };
                rows.push(all.examples.len());
                for variant in 0..variants {
                    all.examples.push(Example { variant, ..example.clone() });
                    all.validation.push(at.is_multiple_of(held));
                }
            }
            all.rows.push(rows);
        }
        all
    }

    /// Prepares examples for heads, with progress bars.
    pub(crate) fn prepare(
        &self,
        name: &str,
        examples: Vec<Example>,
        backbone: &dyn Backbone,
    ) -> anyhow::Result<Prepared> {
        let bars = [progress_bar(&format!("{name} pictures")), progress_bar(&format!("{name} features"))];
        let prepared = Prepared::new(examples, backbone, &self.cache, (&bars[0], &bars[1]));
        bars.iter().for_each(ProgressBar::finish);
        prepared
    }

    /// As [`Data::prepare`], with the case of each picture found.
    pub(crate) fn prepare_with_cases(
        &self,
        name: &str,
        examples: Vec<Example>,
        (backbone, extract_parts): (&dyn Backbone, &Head),
    ) -> anyhow::Result<Prepared> {
        let mut prepared = self.prepare(name, examples, backbone)?;
        prepared.find_cases(extract_parts).context("finding out which pictures have parts")?;
        Ok(prepared)
    }

    /// Rendered garments of a seed that is neither learnt from nor measured on, to choose weights by.
    pub(crate) fn held_out_renders(&self) -> Vec<Example> {
        const COUNT: u64 = 2000;
        if self.rendered == 0 { Vec::new() } else { examples_of_renders(self.seed ^ HELD_OUT_SEED, COUNT) }
    }

    /// What weights are chosen by: for photos those held out of training, for garments `renders`.
    pub(crate) fn lessons<'a>(
        &self,
        sets: &'a [Box<dyn DataSet>],
        training: &Training,
        (prepared, renders): (&'a Prepared, &'a Prepared),
    ) -> Vec<Lesson<'a>> {
        let lesson = |(set, rows): (&'a dyn DataSet, &Vec<usize>)| {
            let rendered = matches!(set.training().first().map(|e| &e.source), Some(Source::Render(..)));
            let (held, learnt): (Vec<usize>, Vec<usize>) =
                rows.iter().partition(|row| training.validation[**row]);
            let (held_out, held_out_rows) =
                if rendered { (renders, (0..renders.examples().len()).collect()) } else { (prepared, held) };
            let (attributes, seed) = (set.attributes(), self.seed);
            Lesson { attributes, training: prepared, rows: learnt, held_out, held_out_rows, seed }
        };
        sets.iter().map(AsRef::as_ref).zip(&training.rows).map(lesson).collect()
    }

    pub(crate) fn checkpoints(&self) -> anyhow::Result<PathBuf> {
        let folder = self.cache.join("checkpoints");
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The attributes of all sets together with all their labels, those of garments first.
pub(crate) fn attributes_of(sets: &[Box<dyn DataSet>]) -> Vec<Attribute> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for attribute in sets.iter().flat_map(|set| set.attributes()) {
        let known = labels.entry(&attribute.name).or_default();
        known.extend(attribute.labels.iter().map(String::as_str));
    }
    in_order(labels)
}

/// Reads a backbone; an error names the file.
pub(crate) fn load_backbone(path: &Path) -> anyhow::Result<AlexNet> {
    AlexNet::load(path).with_context(|| path.display().to_string())
}

pub(crate) fn progress_bar(name: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:>20} {bar:32} {pos}/{len} {elapsed} (left {eta}) {msg}");
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
