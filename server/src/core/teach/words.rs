//! A head from words alone, by the text tower of the backbone that serves.
//!
//! The tower computes no features, so that it is not in memory: it is read from the stored backbone when words come, and let
//! go. Nothing is fitted: pictures tell how long their summaries are, and, where they carry the labels, what the head is worth.

use super::examples::{ASKED_EVERY, Example, ExampleOf, Found, LeftOut, NAME};
use super::vectors::Seen;
use super::worth::Examined;
use super::{About, Made, TeachPlace, TeachProgress, TeachStep, lot, too_few};
use crate::catalogue::Snapshot;
use crate::config::Limits;
use crate::core::Core;
use crate::error::{Error, Faults};
use crate::life::file_keys;
use crate::model::Model;
use lapel_fit::{Summaries, WordedHead, Worth, from_words};
use lapel_heads::{Attribute, PROMPT_BYTES_MAX, Source, TextError, TextTower, View, is_name};
use lapel_render::{render, to_jpeg};
use lapel_search::{Filter, IsAbandoned, Slot};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Items that carry labels and tell what a head is worth, at most: of more, a sample that is the same every time.
const EXAMINED_MAX: usize = 1000;
/// Pictures that tell how long summaries are, where no item carries a label.
const MEASURED: usize = 64;
/// Pictures that are rendered for it where there are no more items with an image.
const RENDERED: u64 = 8;
/// Of the rendered collection; any other would do.
const SEED: u64 = 17;

/// A label in words.
pub(crate) struct WordedLabel {
    pub(crate) label: String,
    /// What a picture of it could be captioned; none: the usual caption.
    pub(crate) prompts: Vec<String>,
}

/// What a head is to be made from.
pub(crate) struct WordsSought {
    /// The attribute, by which the head is named.
    pub(crate) attribute: String,
    pub(crate) words: Vec<WordedLabel>,
    /// Which items count, where it is examined.
    pub(crate) filter: Filter,
}

/// Words for labels, with pictures to examine the head on.
pub(crate) struct WordsFound {
    /// By label: at least one caption.
    prompts: Vec<Vec<String>>,
    /// The labels, and pictures; one whose label is not known has the number of none.
    found: Found,
}

impl WordsFound {
    /// Pictures that are to be looked at.
    pub(super) fn examples(&self) -> usize {
        self.found.examples.len()
    }
}

/// Checks words, and finds pictures to examine them on in one state of the catalogue.
///
/// # Errors
/// All faults of the words at once; [`Error::Left`] where nobody waits for them.
pub(crate) fn find_words(
    snapshot: &Snapshot,
    sought: WordsSought,
    limits: &Limits,
    is_abandoned: IsAbandoned<'_>,
) -> Result<WordsFound, Error> {
    let WordsSought { attribute, words, filter } = sought;
    let mut faults = Faults::default();
    check(&words, limits, &mut faults);
    faults.end()?;
    let mut labels = Vec::with_capacity(words.len());
    let mut prompts = Vec::with_capacity(words.len());
    for WordedLabel { label, prompts: own } in words {
        prompts.push(if own.is_empty() { vec![usual_prompt(&attribute, &label)] } else { own });
        labels.push(label);
    }
    let scope = Pictured { snapshot, filter: &filter, is_abandoned };
    let mut examples = scope.labelled(&attribute, &labels)?;
    let over = examples.len().saturating_sub(EXAMINED_MAX);
    let mut left_out = LeftOut::new();
    if over > 0 {
        examples.sort_by_cached_key(|example| example.of.lot());
        examples.truncate(EXAMINED_MAX);
        left_out.insert("over_limit", over as u64);
    }
    if examples.is_empty() {
        examples = scope.any(labels.len() as u16)?;
    }
    Ok(WordsFound { prompts, found: Found { labels, examples, left_out } })
}

/// What is wrong with words, whatever the catalogue holds.
fn check(words: &[WordedLabel], limits: &Limits, faults: &mut Faults) {
    let most = limits.teach_labels_max;
    if !(2..=most).contains(&words.len()) {
        let given = format!("there are {}; 2 to {most} are accepted (limits.teach_labels_max)", words.len());
        faults.refuse("words.labels", given);
        return;
    }
    let prompts: usize = words.iter().map(|word| word.prompts.len().max(1)).sum();
    if prompts > limits.teach_prompts_max {
        let most = limits.teach_prompts_max;
        let given =
            format!("they have {prompts} prompts; at most {most} are accepted (limits.teach_prompts_max)");
        faults.refuse("words.labels", given);
        return;
    }
    let mut before = BTreeSet::new();
    for (at, WordedLabel { label, prompts }) in words.iter().enumerate() {
        if !is_name(label) {
            faults.refuse(format!("words.labels[{at}].label"), NAME);
        } else if !before.insert(label) {
            faults.refuse(format!("words.labels[{at}].label"), format!("{label:?} is given twice"));
        }
        for (number, prompt) in prompts.iter().enumerate() {
            let bytes = prompt.len();
            if prompt.trim().is_empty() || bytes > PROMPT_BYTES_MAX {
                let wanted = format!("it has {bytes} bytes; words of up to {PROMPT_BYTES_MAX} are accepted");
                faults.refuse(format!("words.labels[{at}].prompts[{number}]"), wanted);
            }
        }
    }
}

/// The caption of a label that is given none.
fn usual_prompt(attribute: &str, label: &str) -> String {
    format!("a photo of a garment with {label} {attribute}").replace('_', " ")
}

/// Items with images that may be looked at.
struct Pictured<'a> {
    snapshot: &'a Snapshot,
    filter: &'a Filter,
    is_abandoned: IsAbandoned<'a>,
}

impl Pictured<'_> {
    /// The items with an image that carry a label, by label.
    fn labelled(&self, attribute: &str, labels: &[String]) -> Result<Vec<Example>, Error> {
        let items = self.snapshot.items();
        let passing = items.passing(self.filter);
        let mut examples = Vec::new();
        for (number, label) in (0..).zip(labels) {
            for (at, slot) in items.with_label(attribute, label).into_iter().flatten().enumerate() {
                self.check_waited_for(at)?;
                let passes = passing.as_ref().is_none_or(|passing| passing.contains(slot));
                let item = items.get(slot).filter(|item| passes && item.has_image());
                examples
                    .extend(item.map(|item| Example { label: number, of: ExampleOf::Item(item.clone()) }));
            }
        }
        Ok(examples)
    }

    /// Some items with an image, whatever they carry, and rendered pictures where they are few. Their label's number is
    /// `none`.
    fn any(&self, none: u16) -> Result<Vec<Example>, Error> {
        let items = self.snapshot.items();
        let passing = items.passing(self.filter);
        let mut drawn: Vec<(u32, Slot)> = Vec::new();
        for (at, slot) in items.live().iter().enumerate() {
            self.check_waited_for(at)?;
            let passes = passing.as_ref().is_none_or(|passing| passing.contains(slot));
            let item = items.get(slot).filter(|item| passes && item.has_image());
            drawn.extend(item.map(|item| (lot(item.id.as_bytes()), slot)));
        }
        drawn.sort_unstable();
        drawn.truncate(MEASURED);
        let of_item = |(_, slot): &(u32, Slot)| items.get(*slot).cloned().map(ExampleOf::Item);
        let mut pictures: Vec<ExampleOf> = drawn.iter().filter_map(of_item).collect();
        if (pictures.len() as u64) < RENDERED {
            pictures.extend((0..RENDERED).map(|number| {
                let image = Arc::new(to_jpeg(&render(SEED, number).photo));
                ExampleOf::Photo { place: number as u32, image }
            }));
        }
        Ok(pictures.into_iter().map(|of| Example { label: none, of }).collect())
    }

    fn check_waited_for(&self, at: usize) -> Result<(), Error> {
        if at.is_multiple_of(ASKED_EVERY) && (self.is_abandoned)() { Err(Error::Left) } else { Ok(()) }
    }
}

/// What a head is made from, once pictures were looked at.
struct Reading {
    about: About,
    labels: Vec<String>,
    prompts: Vec<Vec<String>>,
    told: Vec<u16>,
    /// Flat, one picture after the other.
    vectors: Vec<f32>,
    model: Arc<Model>,
    /// The text tower's file.
    text: Vec<u8>,
}

impl Core {
    /// Whether the backbone that serves reads words.
    ///
    /// # Errors
    /// [`Error::Precondition`] where it does not; a failing store.
    pub(crate) async fn check_reads_words(&self) -> Result<(), Error> {
        let model = self.model()?;
        self.text_tower(&model).await.map(drop)
    }

    /// The file of a model's text tower, out of its stored backbone.
    async fn text_tower(&self, model: &Model) -> Result<Vec<u8>, Error> {
        let (store, fingerprint) = (self.store.clone(), model.fingerprint().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let [backbone, _] = file_keys(&fingerprint);
            let stored = store.bundle(&backbone)?.unwrap_or_default();
            let text = TextTower::file_in(&stored).ok().flatten().map(<[u8]>::to_vec);
            text.ok_or_else(|| no_text_tower(&fingerprint))
        });
        read.await?
    }

    /// Makes a head from words, and examines it where pictures carry its labels.
    pub(super) async fn by_words(
        &self,
        about: About,
        words: WordsFound,
        place: TeachPlace,
        progress: &watch::Sender<TeachProgress>,
    ) -> Result<Made, Error> {
        let WordsFound { prompts, found } = words;
        let (model, started) = (self.model()?, Instant::now());
        let seen = self.look_at_examples(&model, found, progress).await?;
        let Seen { vectors, told, labels, examples, left_out } = seen;
        if examples.is_empty() {
            return Err(too_few(&left_out));
        }
        progress.send_modify(|now| now.step = TeachStep::Fitting);
        let looked = started.elapsed();
        let text = self.text_tower(&model).await?;
        let name = about.name.clone();
        let reading =
            Reading { about, labels: labels.clone(), prompts, told: told.clone(), vectors, model, text };
        let (bundle, worth) = self.fit(place, move |is_abandoned| read(reading, is_abandoned)).await?;
        tracing::info!(
            head = name,
            labels = labels.len(),
            pictures = examples.len(),
            accuracy = worth.as_ref().map(|worth| worth.accuracy.value),
            looked_s = looked.as_secs_f64(),
            read_s = (started.elapsed() - looked).as_secs_f64(),
            "a head was made from words"
        );
        let worth = worth.map(|worth| Examined::of_examples(worth, &labels, &told, &examples));
        Ok(Made { bundle, worth, left_out, advice: "Give other prompts, or teach it from examples" })
    }
}

/// Reads the words, and makes the bundle.
fn read(reading: Reading, is_abandoned: &dyn Fn() -> bool) -> Result<(Vec<u8>, Option<Worth>), Error> {
    let Reading { about, labels, prompts, told, vectors, model, text } = reading;
    let About { name, description, weights } = about;
    let tower = TextTower::from_bytes(&text).map_err(|error| unsound(&error))?;
    drop(text);
    let (layout, view) = (model.backbone().layout(), View::Garment.name());
    let summary = tower.config().summary;
    // A view's vector is the summary, and as many numbers of the patches' mean.
    let range = layout.source(view).filter(|range| range.len() == 2 * summary);
    let range = range.ok_or_else(|| other_summaries(summary))?;
    let mut rows = Vec::with_capacity(prompts.len());
    for of_label in &prompts {
        let mut directions = Vec::with_capacity(of_label.len());
        for prompt in of_label {
            if is_abandoned() {
                return Err(Error::Left);
            }
            directions.push(tower.direction(prompt).map_err(|error| unsound(&error))?);
        }
        rows.push(tower.label_weights(&directions).map_err(|error| unsound(&error))?);
    }
    let own = |row: &[f32]| row.get(range.start..range.start + summary).map(<[f32]>::to_vec);
    let summaries = vectors.chunks_exact(layout.len()).filter_map(own).collect::<Vec<_>>().concat();
    let length = tower.mean_length(&summaries).map_err(|error| unsound(&error))?;
    rows.iter_mut().flatten().for_each(|weight| *weight /= length);
    let head = WordedHead {
        attribute: &Attribute { name, labels },
        fingerprint: model.fingerprint(),
        source: &Source { name: view.to_owned(), len: range.len() },
        weights,
        labels: &rows,
        description: &description,
    };
    let (bundle, worth) = from_words(&head, &Summaries { summaries: &summaries, told: &told });
    Ok((bundle.to_bytes()?, worth))
}

fn no_text_tower(fingerprint: &str) -> Error {
    let message = format!(
        "the backbone that serves ({fingerprint}) has no text tower, so that it reads no words; teach from examples, or serve a \
         CLIP or SigLIP that `lapel-train train --weights FILE --architecture clip --config config.json --tokenizer \
         tokenizer.json` made"
    );
    Error::Precondition { reason: "NO_TEXT_TOWER", message }
}

fn unsound(error: &TextError) -> Error {
    Error::Precondition { reason: UNSOUND, message: error.to_string() }
}

fn other_summaries(summary: usize) -> Error {
    let message = format!(
        "the text tower is of a network with {summary} numbers of a picture's summary, and the backbone's view of the garment \
         has others or is not there; make it anew with `lapel-train train`"
    );
    Error::Precondition { reason: UNSOUND, message }
}

/// The reason of a text tower that is no sound one, or of another network.
const UNSOUND: &str = "UNSOUND_TEXT_TOWER";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(snapshot: &Snapshot, words: &[(&str, &[&str])], limits: &Limits) -> Result<WordsFound, Error> {
        let word = |(label, prompts): &(&str, &[&str])| WordedLabel {
            label: (*label).to_owned(),
            prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
        };
        let sought = WordsSought {
            attribute: "sleeve_length".into(),
            words: words.iter().map(word).collect(),
            filter: Filter::default(),
        };
        find_words(snapshot, sought, limits, &|| false)
    }

    #[test]
    fn an_empty_catalogue_has_rendered_pictures_and_labels_their_usual_captions() {
        let snapshot = Snapshot::default();
        let words = found(&snapshot, &[("long", &[]), ("short", &["a tee", "a vest"])], &Limits::default());
        let WordsFound { prompts, found } = words.expect("sound");
        assert_eq!(prompts[0], ["a photo of a garment with long sleeve length"]);
        assert_eq!(prompts[1], ["a tee", "a vest"]);
        assert_eq!(found.examples.len() as u64, RENDERED);
        assert!(found.examples.iter().all(|example| example.label == 2), "the number of no label");
    }

    #[test]
    fn every_fault_of_words_is_told_at_once() {
        let snapshot = Snapshot::default();
        let long = "x".repeat(PROMPT_BYTES_MAX + 1);
        let words: [(&str, &[&str]); 3] = [("long", &["", &long]), ("long", &[]), (" short", &["a tee"])];
        let refused = found(&snapshot, &words, &Limits::default()).err().expect("refused").to_string();
        for wanted in [
            "words.labels[0].prompts[0]",
            "words.labels[0].prompts[1]",
            "words.labels[1].label",
            "words.labels[2].label",
        ] {
            assert!(refused.contains(wanted), "{wanted}: {refused}");
        }
        let few = Limits { teach_labels_max: 2, teach_prompts_max: 2, ..Limits::default() };
        let refused = |words: &[(&str, &[&str])]| {
            found(&snapshot, words, &few).err().map_or_else(String::new, |error| error.to_string())
        };
        assert!(refused(&[("a", &[])]).contains("2 to 2 are accepted"));
        assert!(refused(&words).contains("limits.teach_labels_max"));
        assert!(refused(&[("a", &["x", "y"]), ("b", &[])]).contains("limits.teach_prompts_max"));
        assert_eq!(refused(&[("a", &[]), ("b", &[])]), "");
    }
}
