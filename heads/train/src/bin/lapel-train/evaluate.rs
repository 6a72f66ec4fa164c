//! The verb `evaluate`.

use crate::data::{Data, load_backbone};
use crate::report::{PARTS_SHOWN, command, print, run_time, write};
use anyhow::Context;
use clap::Args;
use lapel_heads::{ALEXNET_FILE, Backbone, EXTRACT_PARTS_FILE, Embedder, Head};
use lapel_train::evaluate::{Accuracy, Entrant, TestSet, accuracies, evaluate_systems, measure};
use lapel_train::report::{Confusion, Content, Figures, PartsSheet, confusions, figures};
use lapel_train::systems::{HeadSystem, PartWeights};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    data: Data,
    /// Folder of the backbone's weights and the bundles; every head in it is measured together.
    #[arg(long, default_value = "heads/bundles/alexnet")]
    bundles: PathBuf,
    /// Folder for report.html and report.json; without it the figures are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let backbone: Arc<dyn Backbone> = Arc::new(load_backbone(&options.bundles.join(ALEXNET_FILE))?);
    let (extract_parts, heads) = bundles(&options.bundles, backbone.as_ref())?;
    let shared: Vec<Arc<Head>> = heads.iter().cloned().map(Arc::new).collect();
    let weights = PartWeights::of_manifests(&heads);
    let system = HeadSystem::new("Lapel", Arc::new(heads));
    let (mut sets_done, mut told, mut sheets, mut grids, mut confused) =
        (vec![], vec![], vec![], vec![], vec![]);
    let mut speeds = None;
    let mut out = std::io::stdout().lock();
    for set in options.data.sets()? {
        let name = set.name().to_owned();
        let parts = (backbone.as_ref(), &extract_parts);
        let training =
            options.data.prepare_with_cases(&format!("{name} training"), set.training().to_vec(), parts)?;
        let test = options.data.prepare_with_cases(&format!("{name} test"), set.test().to_vec(), parts)?;
        let rows: Vec<usize> = (0..training.examples().len()).collect();
        let of = TestSet { set: set.as_ref(), training: &training, rows: &rows, test: &test };
        let entrant = Entrant::shipped("Lapel", (&system, &weights), of);
        let report = evaluate_systems(&[entrant], |_, _| true, |_| {})?;
        let measured = measure(&test, &shared)?;
        let rows_told: Vec<Accuracy> = accuracies(&measured, &shared);
        print(&mut out, &report)?;
        for a in &rows_told {
            let [told, balanced, majority] = [a.accuracy, a.balanced, a.majority].map(|share| 100.0 * share);
            writeln!(
                out,
                "{:<14} {:>5} labelled: {told:.1} % told, {balanced:.1} % balanced, {majority:.1} % majority",
                a.attribute, a.labelled
            )?;
        }
        if options.out.is_some() {
            let grid: Figures = figures(&system, &weights, &of)?;
            grids.push(grid);
            sheets.push((name.clone(), PartsSheet::new(&test, PARTS_SHOWN)?));
            let confusion: Vec<Confusion> = confusions(&measured, &shared);
            confused.push((name.clone(), confusion));
        }
        if speeds.is_none() {
            let embedder = Embedder::new(backbone.clone(), extract_parts.clone())?;
            speeds = Some(run_time(test.examples(), &embedder, &shared)?);
        }
        told.push((name, rows_told));
        sets_done.push(report);
    }
    if let Some(speeds) = speeds {
        writeln!(
            out,
            "\n{:.0} pictures a minute, {:.0} with parts known; part extraction {:.2} ms",
            speeds.with_parts, speeds.without_parts, speeds.parts_ms
        )?;
    }
    let Some(folder) = &options.out else { return Ok(()) };
    let content = Content {
        title: "Lapel: the shipped heads",
        sets: &sets_done,
        accuracies: &told,
        run_time: speeds,
        figures: &grids,
        parts: &sheets,
        confusions: &confused,
        command: &command(),
        ..Content::default()
    };
    write(folder, &content)?;
    writeln!(out, "wrote {}", folder.join("report.html").display())?;
    Ok(())
}

/// The head of "Extract Parts?" and all others, by name.
fn bundles(folder: &Path, backbone: &dyn Backbone) -> anyhow::Result<(Head, Vec<Head>)> {
    let load = |path: &Path| {
        Head::from_bytes(&fs_err::read(path)?, backbone).with_context(|| path.display().to_string())
    };
    let mut paths: Vec<PathBuf> =
        fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let is_head = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".safetensors") && name != ALEXNET_FILE && name != EXTRACT_PARTS_FILE
    };
    let heads =
        paths.iter().filter(|p| is_head(p)).map(|p| load(p)).collect::<anyhow::Result<Vec<Head>>>()?;
    anyhow::ensure!(!heads.is_empty(), "{} holds no head; `lapel-train train` makes them", folder.display());
    Ok((load(&folder.join(EXTRACT_PARTS_FILE))?, heads))
}
