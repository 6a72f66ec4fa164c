//! Pictures of examples on their canvases, with their parts, prepared once and kept on disk.
//!
//! `canvases.rgb` holds them one after the other, 224 x 224 x 3 bytes each for AlexNet; `parts-V-K.json` the parts
//! of 256 of them, of the extraction's version V, for the sleeved and for the sleeveless case. An interrupted run goes
//! on with the next 256.

use super::examples::Example;
use indicatif::ProgressBar;
use lapel_heads::{Canvas, Content, Parts, PartsCase, extract_parts, sha256_hex};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SHARD: usize = 256;
/// Raised when part extraction changes, so that parts of an older one are not gone on with.
const PARTS_VERSION: u32 = 2;

/// The canvases and parts of a list of examples.
pub struct CanvasCache {
    key: String,
    folder: PathBuf,
    file: File,
    side: usize,
    prepared: Vec<Prepared>,
}

/// What is known of a canvas beside its pixels.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Prepared {
    content: Content,
    /// For the sleeved and for the sleeveless case.
    parts: [Parts; 2],
}

impl CanvasCache {
    /// Prepares what is missing of `examples` under `folder`, on canvases of `side` pixels.
    ///
    /// # Errors
    /// When a picture cannot be read or the disk fails.
    pub fn build(
        folder: &Path,
        examples: &[Example],
        side: usize,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        // Another list of examples is another cache.
        let keys = Example::keys(examples)?;
        let key = sha256_hex(format!("{side}\n{}", keys.join("\n")).as_bytes())[..16].to_owned();
        let folder = folder.join(&key);
        fs_err::create_dir_all(&folder)?;
        let path = folder.join("canvases.rgb");
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut cache = Self { key, folder, file, side, prepared: Vec::with_capacity(examples.len()) };
        bar.set_length(examples.len() as u64);
        for (at, shard) in examples.chunks(SHARD).enumerate() {
            let path = cache.folder.join(format!("parts-{PARTS_VERSION}-{at}.json"));
            if !path.exists() {
                cache.write_shard(at, shard, &path)?;
            }
            cache.prepared.extend(serde_json::from_slice::<Vec<Prepared>>(&fs_err::read(&path)?)?);
            bar.inc(shard.len() as u64);
        }
        anyhow::ensure!(
            cache.prepared.len() == examples.len()
                && cache.file.metadata()?.len() >= (examples.len() * side * side * 3) as u64,
            "{} is damaged; delete it",
            cache.folder.display()
        );
        Ok(cache)
    }

    /// Examples in the cache.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepared.is_empty()
    }

    /// Identity of the examples.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The canvas of one example.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn canvas(&self, example: usize) -> anyhow::Result<Canvas> {
        let len = self.side * self.side * 3;
        let mut rgb = vec![0; len];
        self.file.read_exact_at(&mut rgb, (example * len) as u64)?;
        Ok(Canvas::new(self.side, self.prepared[example].content, rgb))
    }

    /// The parts of one example, for a case.
    #[must_use]
    pub fn parts(&self, example: usize, case: PartsCase) -> Parts {
        match case {
            PartsCase::LowerBody => Parts::none(),
            PartsCase::Sleeved => self.prepared[example].parts[0],
            PartsCase::Sleeveless => self.prepared[example].parts[1],
        }
    }

    fn write_shard(&self, at: usize, examples: &[Example], path: &Path) -> anyhow::Result<()> {
        let canvases = examples
            .par_iter()
            .map(|example| Ok(example.photo()?.fit(self.side)))
            .collect::<anyhow::Result<Vec<Canvas>>>()?;
        let cases = [PartsCase::Sleeved, PartsCase::Sleeveless];
        let prepared: Vec<Prepared> = canvases
            .par_iter()
            .map(|c| Prepared { content: c.content(), parts: cases.map(|case| extract_parts(c, case)) })
            .collect();
        for (i, canvas) in canvases.iter().enumerate() {
            let offset = (at * SHARD + i) * canvas.rgb().len();
            self.file.write_all_at(canvas.rgb(), offset as u64)?;
        }
        // The parts mark a shard as whole, so they come last and in one step.
        let temporary = self.folder.join("parts.tmp");
        fs_err::write(&temporary, serde_json::to_vec(&prepared)?)?;
        fs_err::rename(temporary, path)?;
        Ok(())
    }
}
