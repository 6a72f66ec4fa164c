//! Signatures in and out as .npy files.

use super::fast_scan::Case;
use super::generate::{Generator, Sample, Shape};
use anyhow::{Context, ensure};
use lapel_search::{SignatureColumn, SignatureQuery};
use npyz::WriterBuilder;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

/// Most labels of an attribute that a file may name.
const LABELS_MAX: i64 = 1000;

fn signatures_file(head: usize) -> String {
    format!("signatures_{head:02}.npy")
}

/// Reads a catalogue; queries are drawn from its own items.
pub(super) fn read(folder: &Path, seed: u64) -> anyhow::Result<Generator> {
    let (labels, shape) = read_array::<i64>(&folder.join("labels.npy"))?;
    let (items, heads) = shape;
    ensure!(items > 0 && heads > 0, "labels.npy is empty; [items, heads] is wanted");
    let mut samples = vec![Sample { labels: Vec::new(), signatures: Vec::new() }; items];
    let mut most = 0;
    for (sample, row) in samples.iter_mut().zip(labels.chunks_exact(heads)) {
        for label in row {
            ensure!(
                (0..LABELS_MAX).contains(label),
                "labels.npy has label {label}; 0 to {LABELS_MAX} is read"
            );
            most = most.max(*label as usize);
            sample.labels.push(*label as usize);
        }
    }
    let mut dim = 0;
    for head in 0..heads {
        let path = folder.join(signatures_file(head));
        let (values, (rows, numbers)) = read_array::<f32>(&path)?;
        ensure!(rows == items, "{} has {rows} rows; labels.npy has {items}", path.display());
        ensure!(
            head == 0 || numbers == dim,
            "{} has rows of {numbers}; the first head's have {dim}",
            path.display()
        );
        dim = numbers;
        for (sample, row) in samples.iter_mut().zip(values.chunks_exact(dim)) {
            let is_missing = row.iter().all(|v| v.is_nan());
            let signature =
                || lapel_heads::Signature::new(row.to_vec()).map(lapel_heads::Signature::into_values);
            let signature =
                if is_missing { None } else { Some(signature().context(path.display().to_string())?) };
            sample.signatures.push(signature);
        }
    }
    let shape = Shape {
        items,
        heads,
        dim,
        labels: most + 1,
        zipf: 1.0,
        correlation: 0.0,
        spread: (0.3, 0.9),
        variants: 0.0,
        missing: 0.0,
        seed,
    };
    Generator::of_samples(shape, samples).map_err(anyhow::Error::msg)
}

fn read_array<T: npyz::Deserialize>(path: &Path) -> anyhow::Result<(Vec<T>, (usize, usize))> {
    let file = fs_err::File::open(path)?;
    let array = npyz::NpyFile::new(BufReader::new(file)).with_context(|| path.display().to_string())?;
    let shape = array.shape().to_vec();
    let [rows, columns] = shape[..] else {
        anyhow::bail!("{} has {} dimensions; 2 are wanted", path.display(), shape.len());
    };
    ensure!(array.order() == npyz::Order::C, "{} is in Fortran order; C order is wanted", path.display());
    let values = array.into_vec().with_context(|| path.display().to_string())?;
    Ok((values, (rows as usize, columns as usize)))
}

/// Writes labels and signatures; a missing signature is a row of NaN.
pub(super) fn write(folder: &Path, generator: &Generator) -> anyhow::Result<()> {
    fs_err::create_dir_all(folder)?;
    let shape = generator.shape();
    let samples = generator.items(0, shape.items);
    let labels = samples.iter().flat_map(|sample| sample.labels.iter().map(|label| *label as i64));
    write_array(&folder.join("labels.npy"), (shape.items, shape.heads), labels)?;
    for head in 0..shape.heads {
        let missing = vec![f32::NAN; shape.dim];
        let rows = samples.iter().map(|sample| sample.signatures[head].as_ref().unwrap_or(&missing));
        let path = folder.join(signatures_file(head));
        write_array(&path, (shape.items, shape.dim), rows.flatten().copied())?;
    }
    println!("signatures and labels in {}", folder.display());
    Ok(())
}

/// Writes the regimes' queries as the engine gets them, one a row: `queries.npy` ([queries, heads x dim], f32),
/// `weights.npy` ([queries, heads], f64; 0 of a head that is not in play) and, one a line, `regimes.txt`.
pub(super) fn write_queries(
    folder: &Path,
    columns: &[SignatureColumn],
    cases: &[Case],
) -> anyhow::Result<()> {
    let queries = cases.iter().flat_map(|case| case.queries.iter().map(|query| &query.query));
    let queries: Vec<&SignatureQuery> = queries.collect();
    let (mut vectors, mut weights) = (Vec::new(), Vec::new());
    for query in &queries {
        for column in columns {
            let term = query.terms.iter().find(|term| term.column == *column.key());
            vectors.extend(term.map_or_else(|| vec![0.0; column.dim()], |term| term.vector.clone()));
            weights.push(term.map_or(0.0, |term| term.weight));
        }
    }
    let width = columns.iter().map(SignatureColumn::dim).sum();
    write_array(&folder.join("queries.npy"), (queries.len(), width), vectors.into_iter())?;
    write_array(&folder.join("weights.npy"), (queries.len(), columns.len()), weights.into_iter())?;
    let names = cases.iter().flat_map(|case| case.queries.iter().map(|_| format!("{}\n", case.regime)));
    fs_err::write(folder.join("regimes.txt"), names.collect::<String>())?;
    Ok(())
}

fn write_array<T: npyz::AutoSerialize>(
    path: &Path,
    (rows, columns): (usize, usize),
    values: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let file: File = fs_err::File::create(path)?.into();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[rows as u64, columns as u64])
        .writer(BufWriter::new(file))
        .begin_nd()?;
    writer.extend(values)?;
    Ok(writer.finish()?)
}
