//! The verb `compare`.

use crate::data::{Data, attributes_of, progress_bar};
use clap::Args;
use indicatif::{MultiProgress, ProgressBar};
use lapel_heads::evaluate::{SetReport, TestSet, evaluate_systems};
use lapel_heads::systems::{LineUp, System};
use lapel_heads::train::{HeadData, HeadRecipe, Prepared, Schedule, train_head};
use lapel_heads::{AlexNet, Backbone};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// The backbone as ImageNet left it.
    #[arg(long)]
    imagenet: PathBuf,
    /// The fine-tuned backbone (`lapel-train backbone` makes it).
    #[arg(long)]
    tuned: PathBuf,
    /// Epochs of stage 1 (cross entropy).
    #[arg(long, default_value_t = Schedule::default().epochs_1)]
    epochs_1: usize,
    /// Epochs of stage 2 (cross entropy and triplets).
    #[arg(long, default_value_t = Schedule::default().epochs_2)]
    epochs_2: usize,
    /// Where the report goes.
    #[arg(long)]
    json: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let sets = options.data.sets()?;
    let attributes = attributes_of(&sets);
    let schedule = Schedule {
        epochs_1: options.epochs_1,
        epochs_2: options.epochs_2,
        seed: options.data.seed,
        ..Schedule::default()
    };
    let checkpoints = options.data.checkpoints()?;
    let training = options.data.training(&sets);
    let mut sides = Vec::new();
    for (name, path) in [("plain", &options.imagenet), ("tuned", &options.tuned)] {
        let backbone = AlexNet::load(path)?;
        let mut prepared = options.data.prepare(name, training.examples.clone(), &backbone)?;
        let recipe = HeadRecipe::extract_parts();
        let pooled = prepared.pooled(recipe.region)?;
        let data = HeadData { examples: prepared.examples(), pooled: &pooled, validation: &training.validation };
        let parts = train_head(&recipe, data, backbone.fingerprint(), (&schedule, &checkpoints), |_| {})?.head()?;
        prepared.find_cases(&parts)?;
        let tests = sets.iter().map(|set| {
            let label = format!("{name} {}", set.name());
            options.data.prepare_with_cases(&label, set.test().to_vec(), (&backbone, &parts))
        });
        let tests = tests.collect::<anyhow::Result<Vec<Prepared>>>()?;
        sides.push((backbone, prepared, tests));
    }
    let bars = MultiProgress::new();
    let shown: Mutex<HashMap<(String, String), ProgressBar>> = Mutex::default();
    let told = |system: &str, head: &str, epoch: usize, epochs: usize, loss: f32| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.entry((system.into(), head.into())).or_insert_with(|| bars.add(progress_bar(head)));
        bar.set_length(epochs as u64);
        bar.set_position(epoch as u64);
        bar.set_message(format!("{system}: loss {loss:.3}"));
    };
    let line_up = LineUp {
        plain: &sides[0].1,
        tuned: &sides[1].1,
        fingerprints: [sides[0].0.fingerprint(), sides[1].0.fingerprint()],
        validation: &training.validation,
        attributes: &attributes,
        schedule: &schedule,
        checkpoints: &checkpoints,
        told: &told,
    };
    let (members, traces) = line_up.train()?;
    for t in &traces {
        let best = t.epochs.iter().map(|e| e[1]).fold(0.0, f32::max);
        eprintln!("{:28} {:14} best {best:.3} loss {:.3} -> {:.3}", t.system, t.head, t.epochs[0][0], t.epochs.last().unwrap_or(&[0.0; 2])[0]);
    }
    let mut reports: Vec<SetReport> = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        let systems: Vec<(&dyn System, TestSet<'_>)> = members
            .iter()
            .map(|m| {
                let side = &sides[usize::from(m.fine_tuned)];
                let test = TestSet { set: set.as_ref(), training: &side.1, rows: &training.rows[at], test: &side.2[at] };
                (m.system.as_ref(), test)
            })
            .collect();
        let report = evaluate_systems(&systems, &[members.len() - 1], |_| {})?;
        eprintln!("{} {} of {}", report.name, report.eligible, report.pictures);
        for s in &report.systems {
            let c = &s.scores;
            let rows: Vec<String> = c.one.by_attribute.iter().map(|(a, i)| format!("{a} {:.1}", 100.0 * i.mean)).collect();
            eprintln!(
                "{:30} direct {:.1} one {:.1} [{:.1} {:.1}] two {:.1} adde20 {:.1} ndcg {:.3} {:.3} {:.3} | {} | behind {:.1} [{:.1} {:.1}]",
                s.name, 100.0 * c.direct.top_20.mean, 100.0 * c.one.top_20.mean, 100.0 * c.one.top_20.low, 100.0 * c.one.top_20.high,
                100.0 * c.two.top_20.mean, 100.0 * c.adde.top_20.mean, c.gains[0].mean, c.gains[1].mean, c.gains[2].mean, rows.join(" "),
                100.0 * s.behind_last["all"].mean, 100.0 * s.behind_last["all"].low, 100.0 * s.behind_last["all"].high
            );
            for r in &s.personalisation {
                eprintln!("   picks {} uniform {:.3} mean {:.3} personal {:.3} ahead {:.3} [{:.3} {:.3}] gains {:.3} {:.3} {:.3}", r.picks, r.uniform.mean, r.mean_of_picks.mean, r.personalised.mean, r.ahead_of_uniform.mean, r.ahead_of_uniform.low, r.ahead_of_uniform.high, r.gain[0].mean, r.gain[1].mean, r.gain[2].mean);
            }
        }
        reports.push(report);
    }
    fs_err::write(&options.json, serde_json::to_vec_pretty(&reports)?)?;
    Ok(())
}
