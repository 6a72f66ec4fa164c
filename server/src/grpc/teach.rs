//! What `HeadService` is asked about teaching: a head is taught, compared with another version, and says what to label next.

use super::outgoing::{Answers, Outgoing, readable};
use super::teach_source::{DESCRIPTION_BYTES_MAX, TeachSource};
use super::{Services, convert, filters, predicted};
use crate::catalogue::{Column, Item, Snapshot};
use crate::core::teach::{
    ComparedAttribute, Doubted, Examined, Sought, Suggested, TaughtFrom, TeachOutcome, TeachPlace,
    TeachProgress, TeachStep, Teaching, Told, Wanted, WordsSought, compare, find, find_words, suggest,
};
use crate::core::{Core, RequestId};
use crate::engine::EngineError;
use crate::error::{Error, Faults};
use crate::life::{HeadState, HeadStatus};
use crate::stages::carried;
use lapel_heads::{LabelScore, is_name};
use lapel_proto::v1;
use lapel_proto::v1::teach_response::Event;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Request;

/// Items that are suggested at a time, and as many as are where it is left open.
const SUGGESTED_MAX: u32 = 200;
const SUGGESTED_DEFAULT: u32 = 20;

/// A request to teach without faults that show without the catalogue.
struct Asked {
    name: String,
    given: TeachSource,
    filter: Option<v1::Filter>,
    labels: Vec<String>,
    update: bool,
    hold: bool,
    insist: bool,
    dry_run: bool,
    description: String,
    request: RequestId,
}

impl Services {
    /// Begins to teach a head; what shows before anything is looked at is refused here.
    pub(super) async fn begin_teaching(
        &self,
        request: Request<v1::TeachRequest>,
    ) -> Result<Answers<v1::TeachResponse>, Error> {
        let (metadata, extensions, message) = request.into_parts();
        // An answer that is begun must be ended: nothing is refused any more then.
        let request = Request::from_parts(metadata, extensions, ());
        let asked = asked(message)?;
        // Its examples may have gone since.
        if let Some(before) = self.core.taught_before(&asked.request).await? {
            let (outgoing, answers) = Outgoing::new(&request);
            outgoing.send(response(Event::Taught(taught(before)))).await?;
            outgoing.end(Ok(()));
            return Ok(answers);
        }
        self.core.check_teachable(&asked.name, asked.update, asked.dry_run)?;
        let place = self.core.teach_place()?;
        let teaching = self.teaching(asked).await?;
        self.core.check_examples(teaching.from.examples())?;
        let (outgoing, answers) = Outgoing::new(&request);
        let core = self.core.clone();
        // A stop waits for its end, which comes soon.
        self.core.tasks.spawn(carried(async move {
            let told = tokio::select! {
                told = teach(&core, teaching, place, &outgoing) => told,
                () = outgoing.closed() => Err(Error::Left),
                () = core.stopping.cancelled() => Err(EngineError::Stopped.into()),
            };
            outgoing.end(told);
        }));
        Ok(answers)
    }

    /// Finds the examples, in one state of the catalogue.
    async fn teaching(&self, asked: Asked) -> Result<Teaching, Error> {
        let Asked { name, given, filter, labels, update, hold, insist, dry_run, description, request } =
            asked;
        if matches!(given, TeachSource::Words(_)) {
            self.core.check_reads_words().await?;
        }
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let (core, attribute) = (self.core.clone(), name.clone());
        let from = self.core.in_turn(move |is_abandoned| {
            let mut faults = Faults::default();
            let filter = filters::filter(&snapshot, &core.config, Vec::new(), filter, &mut faults);
            faults.end()?;
            let limits = &core.config.limits;
            match given {
                TeachSource::Examples(source) => {
                    let sought = Sought { source, filter, labels };
                    find(&snapshot, sought, limits, is_abandoned).map(TaughtFrom::Examples)
                }
                TeachSource::Words(words) => {
                    let sought = WordsSought { attribute, words, filter };
                    find_words(&snapshot, sought, limits, is_abandoned).map(TaughtFrom::Words)
                }
            }
        });
        let from = from.await??;
        Ok(Teaching { name, from, description, update, hold, insist, dry_run, request })
    }

    /// Which items to label next.
    pub(super) async fn suggest_to_label(
        &self,
        request: v1::SuggestExamplesRequest,
    ) -> Result<v1::SuggestExamplesResponse, Error> {
        let v1::SuggestExamplesRequest { name, version, filter, count, exclude_ids } = request;
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let status = self.core.registry.get(&name, version)?;
        let core = self.core.clone();
        let found = self.core.in_turn(move |is_abandoned| {
            let mut faults = Faults::default();
            if count > SUGGESTED_MAX {
                faults
                    .refuse("count", format!("{count} items are asked for; up to {SUGGESTED_MAX} are given"));
            }
            let most = core.config.limits.stream_items_max;
            if exclude_ids.len() > most {
                let given = format!("there are {}; at most {most} are accepted", exclude_ids.len());
                faults.refuse("exclude_ids", given);
            }
            let filter = filters::filter(&snapshot, &core.config, Vec::new(), filter, &mut faults);
            faults.end()?;
            let count = if count == 0 { SUGGESTED_DEFAULT } else { count } as usize;
            let wanted = Wanted { filter, exclude: exclude_ids.into_iter().collect(), count };
            let column = column(&snapshot, &status)?;
            snapshot.reading(|| suggest((&core, &snapshot), column, &wanted, is_abandoned))?
        });
        let Suggested { items, considered } = found.await??;
        let example =
            |(item, first, next): (Arc<Item>, LabelScore, Option<LabelScore>)| v1::SuggestedExample {
                item_id: item.id.to_string(),
                label: first.label,
                probability: first.probability.into(),
                other: next.map(|next| next.label).unwrap_or_default(),
            };
        let examples = items.into_iter().map(example).collect();
        Ok(v1::SuggestExamplesResponse { examples, items_considered: considered })
    }

    /// What two versions see of the items that carry labels.
    pub(super) async fn compare_versions(
        &self,
        request: v1::CompareHeadsRequest,
    ) -> Result<v1::CompareHeadsResponse, Error> {
        let v1::CompareHeadsRequest { name, version, other_version, filter } = request;
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let status = self.version(&name, version, &HeadState::Standby)?;
        let other = self.version(&name, other_version, &HeadState::Active)?;
        if status.version == other.version {
            let wanted =
                format!("version {} of {name:?} would be compared with itself; name another", other.version);
            return Err(Error::invalid("other_version", wanted));
        }
        let core = self.core.clone();
        let found = self.core.in_turn(move |is_abandoned| {
            let mut faults = Faults::default();
            let filter = filters::filter(&snapshot, &core.config, Vec::new(), filter, &mut faults);
            faults.end()?;
            let columns = (column(&snapshot, &status)?, column(&snapshot, &other)?);
            snapshot.reading(|| compare(&snapshot, columns, &filter, is_abandoned))?
        });
        let attributes = found.await??.into_iter().map(compared).collect();
        readable(v1::CompareHeadsResponse { attributes }, || "the heads have too many labels".to_owned())
    }

    /// A version of a head; 0: the newest in a state.
    fn version(&self, name: &str, version: u32, state: &HeadState) -> Result<HeadStatus, Error> {
        if version > 0 {
            return self.core.registry.get(name, version);
        }
        let life = self.core.registry.life();
        let versions = life.versions(name)?;
        let found = versions.iter().copied().rfind(|status| status.state == *state);
        found.cloned().ok_or_else(|| none_in(name, state, &versions))
    }
}

/// That no version of a head is in the state that is meant where none is named.
fn none_in(name: &str, state: &HeadState, versions: &[&HeadStatus]) -> Error {
    let alive = versions.iter().filter(|status| status.is_alive());
    let alive: Vec<String> =
        alive.map(|status| format!("{} ({})", status.version, status.state.name())).collect();
    let alive = if alive.is_empty() { "none".to_owned() } else { alive.join(", ") };
    let reason = if *state == HeadState::Active { "NOT_IN_SERVICE" } else { "NOT_ON_STANDBY" };
    let message = format!(
        "no version of {name:?} is {}; there are: {alive}; name the two to compare in `version` and `other_version`",
        state.name()
    );
    Error::Precondition { reason, message }
}

/// What is asked, with all faults that show without the catalogue.
fn asked(message: v1::TeachRequest) -> Result<Asked, Error> {
    let mut faults = Faults::default();
    let request = convert::request_id("Teach", &message.request_id, &message);
    let request = faults.gather("request_id", request)?.unwrap_or_else(RequestId::none);
    let v1::TeachRequest {
        name,
        source,
        filter,
        labels,
        update,
        hold,
        insist,
        dry_run,
        description,
        request_id: _,
    } = message;
    if dry_run && !request.id.is_empty() {
        faults.refuse("request_id", "a dry run registers nothing, and takes no id");
    }
    if !is_name(&name) {
        faults.refuse("name", "a head's name has 1 to 64 characters, no control characters, no outer spaces");
    }
    if description.len() > DESCRIPTION_BYTES_MAX {
        let given = format!("it has {} bytes; up to {DESCRIPTION_BYTES_MAX} are accepted", description.len());
        faults.refuse("description", given);
    }
    if filter.is_some() && matches!(source, Some(v1::teach_request::Source::Examples(_))) {
        faults.refuse("filter", "it chooses among labels and values; examples that are named need none");
    }
    if !labels.is_empty() && matches!(source, Some(v1::teach_request::Source::Words(_))) {
        faults.refuse("labels", "words have their labels with them; give none here");
    }
    let given = faults.gather("source", TeachSource::of(source))?;
    let given = match given {
        Some(given) if faults.all().is_empty() => given,
        Some(_) | None => {
            faults.end()?;
            return Err(TeachSource::missing());
        }
    };
    let description = if description.is_empty() { given.described() } else { description };
    Ok(Asked { name, given, filter, labels, update, hold, insist, dry_run, description, request })
}

/// Teaches a head, and tells how far that is. A caller that reads slowly hears less often.
async fn teach(
    core: &Arc<Core>,
    teaching: Teaching,
    place: TeachPlace,
    outgoing: &Outgoing<v1::TeachResponse>,
) -> Result<(), Error> {
    let progress = watch::Sender::new(TeachProgress::default());
    let mut changes = progress.subscribe();
    let mut outcome = std::pin::pin!(core.teach(teaching, place, &progress));
    loop {
        tokio::select! {
            biased;
            outcome = &mut outcome => {
                return outgoing.send(response(Event::Taught(taught(outcome?)))).await;
            }
            changed = changes.changed() => {
                changed.map_err(|e| Error::Internal(e.to_string()))?;
                let now = *changes.borrow_and_update();
                let mut sent = std::pin::pin!(outgoing.send(response(Event::Progress(progress_of(now)))));
                // Whoever reads slowly does not keep the place for teaching from others.
                tokio::select! {
                    biased;
                    sent = &mut sent => sent?,
                    outcome = &mut outcome => {
                        let taught = taught(outcome?);
                        sent.await?;
                        return outgoing.send(response(Event::Taught(taught))).await;
                    }
                }
            }
        }
    }
}

fn response(event: Event) -> v1::TeachResponse {
    v1::TeachResponse { event: Some(event) }
}

fn progress_of(progress: TeachProgress) -> v1::TeachProgress {
    let TeachProgress { step, done, total, from_cache } = progress;
    let step = match step {
        TeachStep::Looking => v1::TeachStep::Looking,
        TeachStep::Fitting => v1::TeachStep::Fitting,
        TeachStep::Registering => v1::TeachStep::Registering,
    };
    v1::TeachProgress {
        step: step.into(),
        examples_done: done,
        examples_total: total,
        examples_from_cache: from_cache,
    }
}

fn taught(outcome: TeachOutcome) -> v1::TaughtHead {
    let TeachOutcome { head, worth, held_because, left_out } = outcome;
    v1::TaughtHead {
        head: head.map(|status| convert::head(&status)),
        worth: worth.map(head_worth),
        held_because,
        left_out: left_out.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
    }
}

fn head_worth(examined: Examined) -> v1::HeadWorth {
    let Examined { labels, worth, doubted } = examined;
    let lapel_fit::Worth {
        examples,
        accuracy,
        balanced_accuracy,
        majority,
        calibration_error,
        has_signal,
        labels: of_labels,
        doubtful: _,
    } = worth;
    let lapel_fit::Share { value, low, high } = accuracy;
    let of_label = |(label, of_label): (&String, lapel_fit::LabelWorth)| {
        let lapel_fit::LabelWorth { examples, recall, told } = of_label;
        let told = labels.iter().zip(told).filter(|(_, count)| *count > 0);
        let told = told.map(|(label, count)| (label.clone(), count)).collect();
        v1::LabelWorth { label: label.clone(), examples, recall, told }
    };
    v1::HeadWorth {
        examples,
        accuracy: Some(v1::Share { value, low, high }),
        balanced_accuracy,
        majority,
        calibration_error,
        has_signal,
        labels: labels.iter().zip(of_labels).map(of_label).collect(),
        doubtful: doubted.into_iter().map(doubtful).collect(),
    }
}

fn doubtful(doubted: Doubted) -> v1::DoubtfulExample {
    let Doubted { example: Told { item_id, place, label }, looks_like, probability } = doubted;
    v1::DoubtfulExample { item_id, example: place, label, told: looks_like, probability }
}

fn compared(compared: ComparedAttribute) -> v1::ComparedAttribute {
    let ComparedAttribute { attribute, worth, other_worth, gained, lost, signed, other_signed } = compared;
    v1::ComparedAttribute {
        attribute,
        worth: Some(head_worth(worth)),
        other_worth: Some(head_worth(other_worth)),
        gained,
        lost,
        signed_items: signed,
        other_signed_items: other_signed,
    }
}

/// The column of a version that is alive.
fn column<'a>(snapshot: &'a Snapshot, status: &HeadStatus) -> Result<&'a Column, Error> {
    snapshot.column_of_key(&status.key).ok_or_else(|| {
        let (name, version, state) = (&status.name, status.version, status.state.name());
        let message = format!("version {version} of {name:?} is {state}, and has no signatures");
        Error::Precondition { reason: "NO_SIGNATURES", message }
    })
}
