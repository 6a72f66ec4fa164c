//! The verb `compare`.

use crate::data::{Data, Training, attributes_of, load_backbone, progress_bar};
use crate::report::{PARTS_SHOWN, command, print, run_time, write};
use crate::train_paper::Settings;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar};
use lapel_heads::{AlexNet, Backbone, Canvas, Embedder, Head};
use lapel_train::dataset::DataSet;
use lapel_train::evaluate::{TestSet, accuracies, evaluate_systems, measure};
use lapel_train::report::{Content, PartsSheet, confusions, figures};
use lapel_train::systems::{LineUp, Member, System};
use lapel_train::{HeadData, HeadRecipe, Prepared, Schedule, max_pool, train_head};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// The backbone as ImageNet left it, with torchvision's names.
    #[arg(long)]
    imagenet: PathBuf,
    /// The fine-tuned backbone, as `lapel-train train --imagenet` makes it.
    #[arg(long, default_value = "heads/bundles/alexnet/alexnet_features.safetensors")]
    tuned: PathBuf,
    #[command(flatten)]
    settings: Settings,
    /// Folder for report.html and report.json.
    #[arg(long)]
    out: PathBuf,
}

/// One backbone with everything that is read of it.
struct Side {
    backbone: Arc<AlexNet>,
    extract_parts: Head,
    training: Prepared,
    tests: Vec<Prepared>,
}

/// What both backbones' sides are made of.
struct Shared<'a> {
    options: &'a Options,
    sets: &'a [Box<dyn DataSet>],
    training: &'a Training,
    schedule: &'a Schedule,
    checkpoints: &'a Path,
}

impl Side {
    /// Prepares all pictures for one backbone, with an "Extract Parts?" head of its own.
    fn new(name: &str, path: &Path, shared: &Shared<'_>) -> anyhow::Result<Self> {
        let Shared { options, sets, training, schedule, checkpoints } = shared;
        let backbone = load_backbone(path)?;
        let mut prepared = options.data.prepare(name, training.examples.clone(), &backbone)?;
        let recipe = HeadRecipe::extract_parts();
        let pooled = prepared.inputs(recipe.region, recipe.context)?;
        let data =
            HeadData { examples: prepared.examples(), pooled: &pooled, validation: &training.validation };
        let trained = train_head(&recipe, data, backbone.fingerprint(), (schedule, checkpoints), |_| {})?;
        let extract_parts = trained.head()?;
        prepared.find_cases(&extract_parts)?;
        let tests = sets.iter().map(|set| {
            let label = format!("{name} {}", set.name());
            options.data.prepare_with_cases(&label, set.test().to_vec(), (&backbone, &extract_parts))
        });
        let tests = tests.collect::<anyhow::Result<_>>()?;
        Ok(Self { backbone: Arc::new(backbone), extract_parts, training: prepared, tests })
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let sets = options.data.sets()?;
    let attributes = attributes_of(&sets);
    let schedule = options.settings.schedule(options.data.seed)?;
    let checkpoints = options.data.checkpoints()?;
    let training = options.data.training(&sets);
    let shared =
        Shared { options, sets: &sets, training: &training, schedule: &schedule, checkpoints: &checkpoints };
    let sides = [
        Side::new("ImageNet", &options.imagenet, &shared)?,
        Side::new("fine-tuned", &options.tuned, &shared)?,
    ];
    let renders = options.data.prepare_with_cases(
        "held-out",
        options.data.held_out_renders(),
        (sides[1].backbone.as_ref(), &sides[1].extract_parts),
    )?;
    let lessons = options.data.lessons(&sets, &training, (&sides[1].training, &renders));
    let bars = Bars::default();
    let told = |system: &str, head: &str, epoch: usize, epochs: usize, loss: f32| {
        bars.told(system, head, (epoch, epochs, loss));
    };
    let line_up = LineUp {
        plain: &sides[0].training,
        tuned: &sides[1].training,
        fingerprints: [sides[0].backbone.fingerprint(), sides[1].backbone.fingerprint()],
        validation: &training.validation,
        attributes: &attributes,
        schedule: &schedule,
        checkpoints: &checkpoints,
        lessons: &lessons,
        told: &told,
    };
    let trained = line_up.train()?;
    let members = &trained.members;
    let groups: Vec<_> = members.iter().map(|m| m.group).collect();
    let lapel = &members[members.len() - 1];
    let lapel_heads: Vec<Arc<Head>> = trained.lapel.iter().cloned().map(Arc::new).collect();
    let weights = lapel_heads.iter().zip(&trained.rules.weights).map(|(h, w)| format!("{} {w:.2}", h.name()));
    let weights = weights.collect::<Vec<_>>().join(", ");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nLapel's weights, chosen on held-out pictures: {weights}; a changed head x {:.2}",
        trained.rules.changed
    )?;
    let (mut reports, mut grids, mut sheets, mut told, mut confused) =
        (vec![], vec![], vec![], vec![], vec![]);
    for (at, set) in sets.iter().enumerate() {
        let test_set = |m: &Member| {
            let side = &sides[usize::from(m.fine_tuned)];
            TestSet {
                set: set.as_ref(),
                training: &side.training,
                rows: &training.rows[at],
                test: &side.tests[at],
            }
        };
        let systems: Vec<(&dyn System, TestSet<'_>)> =
            members.iter().map(|m| (m.system.as_ref(), test_set(m))).collect();
        let bar = progress_bar(&format!("measuring {}", set.name()));
        bar.set_length(members.len() as u64);
        let report = evaluate_systems(&systems, &[members.len() - 1], |_| bar.inc(1))?;
        bar.finish();
        print(&mut out, &report)?;
        reports.push(report);
        let test = &sides[1].tests[at];
        let measured = measure(test, &lapel_heads)?;
        let name = set.name().to_owned();
        grids.push(figures(lapel.system.as_ref(), &test_set(lapel))?);
        sheets.push((name.clone(), PartsSheet::new(test, PARTS_SHOWN)?));
        told.push((name.clone(), accuracies(&measured, &lapel_heads)));
        confused.push((name, confusions(&measured, &lapel_heads)));
    }
    let embedder = Embedder::new(sides[1].backbone.clone(), sides[1].extract_parts.clone())?;
    let classic = |batch: &[&Canvas]| -> anyhow::Result<()> {
        let pooled = max_pool(&sides[0].backbone.conv5(batch)?)?;
        trained.classic.signatures(&pooled.flatten_from(1)?)?;
        Ok(())
    };
    let speeds = run_time(sides[1].tests[0].examples(), &embedder, &lapel_heads, Some(&classic))?;
    let content = Content {
        title: "Lapel beside the paper's systems",
        sets: &reports,
        groups: &groups,
        accuracies: &told,
        run_time: Some(speeds),
        figures: &grids,
        parts: &sheets,
        confusions: &confused,
        traces: &trained.traces,
        command: &command(),
    };
    write(&options.out, &content)?;
    writeln!(out, "\nwrote {}", options.out.join("report.html").display())?;
    Ok(())
}

/// One progress bar a head, taken over by the next system's head of the same name.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    shown: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn told(&self, system: &str, head: &str, (epoch, epochs, loss): (usize, usize, f32)) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.entry(head.to_owned()).or_insert_with(|| self.all.add(progress_bar(head)));
        bar.set_length(epochs as u64);
        bar.set_position(epoch as u64);
        bar.set_message(format!("{system}: loss {loss:.3}"));
    }
}
