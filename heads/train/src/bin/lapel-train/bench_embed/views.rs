//! What is measured of a backbone of views: each step from a photo to its vectors.

use super::{BATCH, Bench, THREADS, decode, pool};
use anyhow::Context;
use lapel_heads::{Backbone, Canvas, Photo, View, Views, cloth_colours, extract_parts};
use rayon::prelude::*;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// A backbone of views.
pub(super) struct ViewStages(Arc<Views>);

/// A stage, and its milliseconds a picture.
type Measured = (String, f64);

impl ViewStages {
    pub(super) fn load(file: &Path) -> anyhow::Result<Self> {
        let views = Views::from_bytes(&fs_err::read(file)?).with_context(|| file.display().to_string())?;
        Ok(Self(Arc::new(views)))
    }

    pub(super) fn backbone(&self) -> Arc<dyn Backbone> {
        self.0.clone()
    }

    /// Writes the table of stages, a column for each number of threads.
    pub(super) fn write(&self, bench: &Bench, out: &mut impl Write) -> anyhow::Result<()> {
        let photos = bench.decoded(BATCH)?;
        let mut columns = Vec::with_capacity(THREADS.len());
        for threads in THREADS {
            columns.push(pool(threads)?.install(|| self.stages(bench, &photos))?);
        }
        writeln!(out, "\nmilliseconds a picture, in batches of {BATCH}, with {THREADS:?} threads")?;
        for (row, (stage, _)) in columns[0].iter().enumerate() {
            write!(out, "{stage:<28}")?;
            for column in &columns {
                write!(out, " {:6.2}", column[row].1)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn stages(&self, bench: &Bench, photos: &[Photo]) -> anyhow::Result<Vec<Measured>> {
        let views = &self.0;
        let canvases: Vec<Canvas> = photos.iter().map(|photo| views.canvas(photo)).collect();
        let mut stages = Vec::new();
        let mut stage = |name: String, run: &mut dyn FnMut() -> anyhow::Result<()>| -> anyhow::Result<()> {
            stages.push((name, 1e3 * bench.median(run)? / BATCH as f64));
            Ok(())
        };
        stage("decode".into(), &mut || {
            bench.photos[..BATCH].par_iter().try_for_each(|bytes| decode(bytes).map(drop))
        })?;
        stage("fit".into(), &mut || {
            photos.par_iter().for_each(|photo| drop(views.fitted(photo)));
            Ok(())
        })?;
        stage("mask".into(), &mut || {
            canvases.par_iter().for_each(|canvas| drop(views.silhouette(canvas)));
            Ok(())
        })?;
        self.view_stages(&canvases, &mut stage)?;
        stage("colours of the cloth".into(), &mut || {
            canvases.par_iter().for_each(|canvas| drop(cloth_colours(canvas)));
            Ok(())
        })?;
        let borrowed: Vec<&Canvas> = canvases.iter().collect();
        let embedder = &bench.embedder;
        let maps = embedder.maps(&borrowed)?;
        stage("\"Extract Parts?\"".into(), &mut || Ok(embedder.cases(&maps).map(drop)?))?;
        let cases = embedder.cases(&maps)?;
        stage("parts".into(), &mut || {
            canvases.par_iter().zip(&cases).for_each(|(canvas, case)| {
                let _ = extract_parts(canvas, *case);
            });
            Ok(())
        })?;
        let features = embedder.features(&borrowed)?;
        stage("all heads".into(), &mut || {
            Ok(embedder.signatures(features.clone(), &bench.heads).map(drop)?)
        })?;
        Ok(stages)
    }

    /// Of each view, the cut and the network.
    fn view_stages(
        &self,
        canvases: &[Canvas],
        stage: &mut impl FnMut(String, &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let views = &self.0;
        for view in &views.manifest().views {
            let look =
                |canvas: &Canvas, view: &View| canvas.look(view.square(canvas), views.manifest().input_side);
            stage(format!("cut of the view {}", view.name()), &mut || {
                canvases.par_iter().for_each(|canvas| drop(look(canvas, view)));
                Ok(())
            })?;
            let pixels: Vec<Vec<u8>> = canvases.iter().map(|canvas| look(canvas, view)).collect();
            let pictures: Vec<&[u8]> = pixels.iter().map(Vec::as_slice).collect();
            stage(format!("network on {}", view.name()), &mut || Ok(views.vectors(&pictures).map(drop)?))?;
        }
        Ok(())
    }
}
