//! Packed records in a file, where places in a table stand for labels: numbers are those of one process.

use super::label_numbers::LabelNumbers;
use super::{LabelCode, LabelCodes, PackedRecord};

type Pair<'a> = (&'a str, &'a str);

/// The pairs of an attribute and a label that records of a file are written with.
pub struct LabelTable<'a> {
    pairs: Vec<Pair<'a>>,
    /// Places by number.
    places: Vec<Option<u32>>,
}

impl<'a> LabelTable<'a> {
    /// Of some pairs; records that have others have their texts.
    #[must_use]
    pub fn of(pairs: impl Iterator<Item = Pair<'a>>) -> Self {
        let mut table = Self { pairs: Vec::new(), places: Vec::new() };
        let all: Vec<Pair<'_>> = pairs.collect();
        let mut rest = all.iter();
        LabelNumbers::of_process().numbers(&all, |number| {
            let (Some(pair), Some(number)) = (rest.next(), number) else { return };
            let at = number as usize;
            table.places.resize(table.places.len().max(at + 1), None);
            table.places[at] = Some(table.pairs.len() as u32);
            table.pairs.push(*pair);
        });
        table
    }

    /// The pairs, by place.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'a>> {
        self.pairs.iter().copied()
    }

    /// A record as the file has it.
    #[must_use]
    pub fn saved(&self, record: &PackedRecord) -> Vec<u8> {
        let place = |number: u32| self.places.get(number as usize).copied().flatten();
        let recoded = recoded(&record.0, |code| match code {
            LabelCode::Number(number) => place(number).map(LabelCode::Number).or_else(|| code.as_text()),
            LabelCode::Text(..) => Some(code),
        });
        recoded.map(|record| record.0.into_vec()).unwrap_or_default()
    }
}

/// The pairs of a file as this process has them.
pub struct SavedLabels<'a> {
    pairs: Vec<Pair<'a>>,
    /// Numbers by place.
    numbers: Vec<Option<u32>>,
    /// Whether every number is the place.
    is_same: bool,
}

impl<'a> SavedLabels<'a> {
    /// Of the pairs of a file, by place.
    #[must_use]
    pub fn of(pairs: impl Iterator<Item = Pair<'a>>) -> Self {
        let (pairs, mut numbers): (Vec<Pair<'a>>, _) = (pairs.collect(), Vec::new());
        LabelNumbers::of_process().numbers(&pairs, |number| numbers.push(number));
        let is_same = (0..).zip(&numbers).all(|(place, number)| *number == Some(place));
        Self { pairs, numbers, is_same }
    }

    /// A record that the file has; `None` where it names a place that is none.
    #[must_use]
    pub fn record(&self, saved: &[u8]) -> Option<PackedRecord> {
        if self.is_same {
            return Some(PackedRecord(saved.into()));
        }
        recoded(saved, |code| match code {
            LabelCode::Number(place) => {
                let (pair, number) = (self.pairs.get(place as usize)?, self.numbers.get(place as usize)?);
                Some(LabelCode::of(*number, *pair))
            }
            LabelCode::Text(..) => Some(code),
        })
    }
}

/// A record with other codes for its labels; `None` where one has none.
fn recoded<'a>(
    bytes: &'a [u8],
    code: impl FnMut(LabelCode<'a>) -> Option<LabelCode<'a>>,
) -> Option<PackedRecord> {
    let codes = LabelCodes::of(bytes);
    let labels = codes.map(code).collect::<Option<Vec<_>>>()?;
    PackedRecord::joined(labels.into_iter(), codes.behind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemRecord;

    fn record(labels: &[Pair<'_>]) -> ItemRecord {
        let labels = labels.iter().map(|(attribute, label)| ((*attribute).to_owned(), (*label).to_owned()));
        ItemRecord { labels: labels.collect(), updated_ms: 3, ..ItemRecord::default() }
    }

    #[test]
    fn records_come_back_from_a_file_of_whatever_process() {
        let long = "x".repeat(300);
        let labels = [("saved colour", "red"), ("saved shape", "round"), ("saved words", long.as_str())];
        let wanted = record(&labels);
        let packed = PackedRecord::of(&wanted);
        // Of another process, which met them in another order, and of one that has some of them.
        for pairs in [vec![labels[1], labels[0]], vec![labels[0]], Vec::new(), labels.to_vec()] {
            let table = LabelTable::of(pairs.iter().copied());
            assert!(table.pairs().all(|pair| pair != labels[2]), "it has no number");
            let read = SavedLabels::of(table.pairs()).record(&table.saved(&packed)).expect("a record");
            assert_eq!(read.record(), wanted);
        }
        let saved = LabelTable::of(labels.into_iter()).saved(&packed);
        let others = [("saved words", "a"), ("saved words", "b")];
        let of_one = SavedLabels::of(others[1..].iter().copied());
        assert_eq!(of_one.record(&saved), None, "it names a place that is none");
    }
}
