//! A head is taught: its examples are looked at behind queries, a classifier is fitted and examined, and its bundle is
//! registered like any other.
//!
//! Nothing is stored before the bundle is registered but features in their cache, so that a teaching that ends early leaves
//! nothing behind, and one that is begun again finds what was computed.

mod compare;
mod examples;
mod suggest;
mod vectors;
mod weights;
mod words;
mod worth;

pub(crate) use compare::{ComparedAttribute, compare};
pub(crate) use examples::{Found, LeftOut, Shown, ShownOf, Sought, Source, find};
pub(crate) use suggest::{Suggested, Wanted, suggest};
pub(crate) use words::{WordedLabel, WordsFound, WordsSought, find_words};
pub(crate) use worth::{Doubted, Examined, Told};

use super::{Core, Registration};
use crate::error::Error;
use crate::life::{Claim, HeadState, HeadStatus};
use crate::model::Model;
use crate::request::RequestId;
use crate::store::Outcome;
use candle_core::{Device, Tensor};
use lapel_fit::{Examples, HeadWeights, Lesson, TeachError, Worth};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;
use vectors::Seen;
use weights::weights_beside;

/// What is to be taught, once its examples are found.
pub(crate) struct Teaching {
    /// The head's name, and that of its attribute.
    pub(crate) name: String,
    pub(crate) from: TaughtFrom,
    /// The bundle's words.
    pub(crate) description: String,
    pub(crate) update: bool,
    pub(crate) hold: bool,
    pub(crate) insist: bool,
    pub(crate) dry_run: bool,
    pub(crate) request: RequestId,
}

/// What a head is taught from, once that is found.
pub(crate) enum TaughtFrom {
    /// Its labels, their examples, and what was left out already.
    Examples(Found),
    /// Words for its labels.
    Words(WordsFound),
}

impl TaughtFrom {
    /// Examples that are to be looked at.
    pub(crate) fn examples(&self) -> usize {
        match self {
            Self::Examples(found) => found.examples.len(),
            Self::Words(words) => words.examples(),
        }
    }
}

/// Steps of teaching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TeachStep {
    /// Examples are looked at.
    #[default]
    Looking,
    /// The classifier is fitted and examined.
    Fitting,
    /// The bundle is checked and stored.
    Registering,
}

/// How far teaching is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TeachProgress {
    pub(crate) step: TeachStep,
    /// Examples looked at, and in all.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// Of those looked at, how many the feature cache had.
    pub(crate) from_cache: u64,
}

/// What came of it.
pub(crate) struct TeachOutcome {
    /// The version; `None` where nothing was registered.
    pub(crate) head: Option<HeadStatus>,
    /// What it is worth; `None` of a repeated request, and of words where no item carries a label of them.
    pub(crate) worth: Option<Examined>,
    /// Why it waits to be promoted although that was not asked for.
    pub(crate) held_because: String,
    pub(crate) left_out: LeftOut,
}

/// The one place for teaching. The work holds it until it has ended, whether or not its caller has left.
#[derive(Clone)]
pub(crate) struct TeachPlace {
    _held: Arc<OwnedMutexGuard<()>>,
}

/// What a bundle says of its head, whatever it is made from.
struct About {
    name: String,
    description: String,
    weights: HeadWeights,
}

/// A head that is not registered yet.
struct Made {
    bundle: Vec<u8>,
    worth: Option<Examined>,
    left_out: LeftOut,
    /// What would make it better.
    advice: &'static str,
}

/// What the fit is made from, in its order.
struct Fit {
    about: About,
    labels: Vec<String>,
    told: Vec<u16>,
    /// Flat, one example after the other.
    vectors: Vec<f32>,
    model: Arc<Model>,
}

impl Core {
    /// Takes the one place for teaching.
    ///
    /// # Errors
    /// [`Error::Exhausted`] while another head is taught.
    pub(crate) fn teach_place(&self) -> Result<TeachPlace, Error> {
        let held = self.teaching.clone().try_lock_owned();
        let held = held.map_err(|_| {
            Error::Exhausted("another head is being taught; teach this one when that is done".into())
        })?;
        Ok(TeachPlace { _held: Arc::new(held) })
    }

    /// What an earlier request of this id led to, where it led to a head.
    ///
    /// # Errors
    /// When the store fails, or the id was used for another request.
    pub(crate) async fn taught_before(&self, request: &RequestId) -> Result<Option<TeachOutcome>, Error> {
        if request.id.is_empty() {
            return Ok(None);
        }
        match self.outcome(request).await? {
            Some(Outcome::Head(name, version)) => {
                let head = self.registry.get(&name, version)?;
                Ok(Some(TeachOutcome {
                    head: Some(head),
                    worth: None,
                    held_because: String::new(),
                    left_out: LeftOut::new(),
                }))
            }
            Some(other) => Err(Error::Internal(format!("teaching led to {other:?}"))),
            None => Ok(None),
        }
    }

    /// Whether a head of this name can be taught, before that takes any time.
    ///
    /// # Errors
    /// [`Error::Precondition`] where the backbone gives a map; what is told when it is registered, where the name or the
    /// attribute is taken.
    pub(crate) fn check_teachable(&self, name: &str, update: bool, dry_run: bool) -> Result<(), Error> {
        if self.model()?.backbone().layout().map_shape().is_some() {
            return Err(no_vectors());
        }
        if dry_run {
            return Ok(());
        }
        let heads_max = self.config.limits.heads_max;
        let claim = Claim { name, attributes: vec![name], has_network: true, update, heads_max };
        Ok(self.registry.life().check_free(&claim)?)
    }

    /// How many examples may be looked at, by the bound on their vectors.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says how many fit.
    pub(crate) fn check_examples(&self, count: usize) -> Result<(), Error> {
        let most = self.config.limits.teach_bytes_max.0;
        let bytes = self.model()?.backbone().layout().len().saturating_mul(size_of::<f32>()).max(1);
        if count.saturating_mul(bytes) <= most {
            return Ok(());
        }
        let fit = most / bytes;
        let wanted = format!(
            "there are {count} examples of {bytes} bytes each; at most {fit} fit into limits.teach_bytes_max ({most}): give \
             fewer labels, or a filter"
        );
        Err(Error::invalid("source", wanted))
    }

    /// Teaches a head. Dropped before it is registered, it leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Precondition`] where too few examples can be looked at, or words cannot be read; what `register_head` says; a
    /// failing store or model.
    pub(crate) async fn teach(
        self: &Arc<Self>,
        teaching: Teaching,
        place: TeachPlace,
        progress: &watch::Sender<TeachProgress>,
    ) -> Result<TeachOutcome, Error> {
        let Teaching { name, from, description, update, hold, insist, dry_run, request } = teaching;
        let about = About { name, description, weights: weights_beside(self.snapshot().columns()) };
        let Made { bundle, worth, left_out, advice } = match from {
            TaughtFrom::Examples(found) => self.by_examples(about, found, place.clone(), progress).await?,
            TaughtFrom::Words(words) => self.by_words(about, words, place.clone(), progress).await?,
        };
        let mut held_because = if hold || insist || dry_run {
            String::new()
        } else {
            doubt(worth.as_ref().map(|told| &told.worth), advice)
        };
        let mut head = None;
        if !dry_run {
            progress.send_modify(|now| now.step = TeachStep::Registering);
            let hold = hold || !held_because.is_empty();
            let status = self.register_head(bundle, Registration { update, hold, request }).await?;
            if status.state == HeadState::Active {
                // The same bundle serves already, whatever its examples show.
                held_because.clear();
            }
            head = Some(status);
        }
        drop(place);
        Ok(TeachOutcome { head, worth, held_because, left_out })
    }

    /// Fits a head to examples, and examines it.
    async fn by_examples(
        &self,
        about: About,
        found: Found,
        place: TeachPlace,
        progress: &watch::Sender<TeachProgress>,
    ) -> Result<Made, Error> {
        let (model, started) = (self.model()?, Instant::now());
        let mut seen = self.look_at_examples(&model, found, progress).await?;
        seen.drop_rare(model.backbone().layout().len());
        let Seen { vectors, told, labels, examples, left_out } = seen;
        let looked = started.elapsed();
        if labels.len() < 2 {
            return Err(too_few(&left_out));
        }
        progress.send_modify(|now| now.step = TeachStep::Fitting);
        let name = about.name.clone();
        let fit = Fit { about, labels: labels.clone(), told: told.clone(), vectors, model };
        let (bundle, worth) = self.fit(place, move |is_abandoned| fitted(fit, is_abandoned)).await?;
        tracing::info!(
            head = name,
            labels = labels.len(),
            examples = examples.len(),
            accuracy = worth.accuracy.value,
            majority = worth.majority,
            looked_s = looked.as_secs_f64(),
            fitted_s = (started.elapsed() - looked).as_secs_f64(),
            "a head was taught"
        );
        let worth = Some(Examined::of_examples(worth, &labels, &told, &examples));
        Ok(Made { bundle, worth, left_out, advice: "Give more examples" })
    }

    /// Fits behind all other work; dropped, the fit ends soon, and keeps its place until then.
    async fn fit<T: Send + 'static>(
        &self,
        place: TeachPlace,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let abandoned = CancellationToken::new();
        let _present = abandoned.clone().drop_guard();
        let most = Duration::from_secs(self.config.limits.teach_seconds_max);
        let until = Instant::now() + most;
        let done = self.engine.fit(move || {
            let _held = place;
            work(&|| abandoned.is_cancelled() || Instant::now() >= until)
        });
        match done.await? {
            // Whoever reads this still waits: it was the time.
            Err(Error::Left) => Err(too_long(most)),
            done => done,
        }
    }
}

/// The bundle and what it is worth.
fn fitted(fit: Fit, is_abandoned: &dyn Fn() -> bool) -> Result<(Vec<u8>, Worth), Error> {
    let Fit { about: About { name, description, weights }, labels, told, vectors, model } = fit;
    let layout = model.backbone().layout();
    let vectors = Tensor::from_vec(vectors, (told.len(), layout.len()), &Device::Cpu);
    let examples = Examples { vectors: vectors.map_err(|e| Error::Internal(e.to_string()))?, labels: told };
    let lesson = Lesson {
        name: &name,
        labels: &labels,
        examples: &examples,
        fingerprint: model.fingerprint(),
        layout: &layout,
        weights,
        description: &description,
    };
    let taught = lapel_fit::teach(&lesson, is_abandoned).map_err(refusal)?;
    Ok((taught.bundle.to_bytes()?, taught.worth))
}

fn refusal(error: TeachError) -> Error {
    match error {
        TeachError::Abandoned => Error::Left,
        TeachError::Map => no_vectors(),
        TeachError::TooFew => too_few(&LeftOut::new()),
        TeachError::NotFinite => Error::Internal("the backbone gave a number that is not finite".into()),
        TeachError::Tensor(error) => Error::Internal(error.to_string()),
    }
}

fn no_vectors() -> Error {
    let message = "the backbone that serves gives a map, of which heads pool regions; train the head with `lapel-train`";
    Error::Precondition { reason: "CANNOT_TEACH", message: message.into() }
}

fn too_long(most: Duration) -> Error {
    let message = format!(
        "the fit took more than {} s (limits.teach_seconds_max); give fewer labels or examples, or a filter",
        most.as_secs()
    );
    Error::Precondition { reason: "TEACHING_TOO_LONG", message }
}

fn too_few(left_out: &LeftOut) -> Error {
    let reasons: Vec<String> = left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    let message = format!(
        "there are not two labels with two examples each that can be looked at (left out: {reasons}); give more"
    );
    Error::Precondition { reason: "TOO_FEW_EXAMPLES", message }
}

/// Why a head should not serve unseen; empty where its examples show that it tells something.
fn doubt(worth: Option<&Worth>, advice: &str) -> String {
    let Some(worth) = worth else {
        return "it was made from words alone, and no item carries one of its labels: nothing tells whether it is right. Look at \
                what it says and promote it, or label some items"
            .into();
    };
    if worth.has_signal {
        return String::new();
    }
    let percent = |share: f64| 100.0 * share;
    format!(
        "it tells {:.0} % of its examples right ({:.0} to {:.0} %), and whoever always guesses the most frequent label {:.0} %: \
         they do not show that it tells anything. {advice}, or promote it",
        percent(worth.accuracy.value),
        percent(worth.accuracy.low),
        percent(worth.accuracy.high),
        percent(worth.majority)
    )
}

/// What decides which of too many are taken: an order that has nothing to do with how ids are made, the same every time.
pub(super) fn lot(id: &[u8]) -> u32 {
    crc32fast::hash(id)
}
