//! The short run of the gate: the committed corpora and mutations of them, the same every time.
//!
//! It needs no compiler but the usual one; coverage-guided fuzzing is `just fuzz`.

use lapel_fuzz::TARGETS;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Mutations of all files of a corpus together.
const MUTATIONS: usize = 3_000;

#[test]
fn nothing_in_the_corpora_or_near_them_breaks_a_target() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut paths: Vec<_> = fs_err::read_dir(&folder)
            .expect("a corpus")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        assert!(paths.len() > 1, "the corpus of {name} is too small");
        let files: Vec<Vec<u8>> = paths.iter().map(|path| fs_err::read(path).expect("read")).collect();
        for (path, file) in paths.iter().zip(&files) {
            told(&path.display().to_string(), || target(file));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for number in 0..MUTATIONS {
            let file = mutated(&files, number % files.len(), &mut rng);
            told(&format!("mutation {number} of {name}: {}", file.escape_ascii()), || target(&file));
        }
    }
}

/// Says what was being run when it panics.
fn told(what: &str, run: impl FnOnce()) {
    struct Told<'a>(&'a str);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed on {}", self.0);
            }
        }
    }
    let told = Told(what);
    run();
    drop(told);
}

/// A file with up to four changes: bytes, pieces cut out, doubled, or taken from another file.
fn mutated(files: &[Vec<u8>], at: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut file = files[at].clone();
    for _ in 0..rng.random_range(1..=4) {
        if file.is_empty() {
            break;
        }
        let from = rng.random_range(0..file.len());
        let to = rng.random_range(from..=file.len().min(from + 64));
        match rng.random_range(0..6) {
            0 => file[from] ^= 1 << rng.random_range(0..8),
            1 => file[from] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            2 => drop(file.drain(from..to)),
            3 => {
                let piece = file[from..to].to_vec();
                file.splice(from..from, piece);
            }
            4 => {
                let other = &files[rng.random_range(0..files.len())];
                let first = rng.random_range(0..=other.len());
                let last = rng.random_range(first..=other.len().min(first + 64));
                file.splice(from..to, other[first..last].to_vec());
            }
            _ => rng.fill_bytes(&mut file[from..to]),
        }
    }
    file
}
