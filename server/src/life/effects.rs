//! What a change leads to outside: worked out from the states before and after, and from nothing else.

use super::records::file_keys;
use super::state::HeadState;
use super::status::{HeadStatus, Life, ModelStatus, Purpose};
use crate::store::{HeadRecord, ModelRecord};

/// What is to be done so that the store, the snapshot and the disk follow from one state to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Records of heads to be stored, by key.
    pub heads: Vec<(String, HeadRecord)>,
    /// Records of models to be stored, by fingerprint.
    pub models: Vec<(String, ModelRecord)>,
    /// Fingerprints of models to be added to the snapshot.
    pub add_models: Vec<String>,
    /// Keys of heads that get an empty column.
    pub add: Vec<String>,
    /// Fingerprint of the model that comes into service in the place of another, with the heads of `activate`.
    pub switch: Option<String>,
    /// Keys of heads that come into service.
    pub activate: Vec<String>,
    /// Keys of heads whose column goes.
    pub drop: Vec<String>,
    /// Fingerprints of models that go, with the features cached for them.
    pub drop_models: Vec<String>,
    /// Whether queries are answered by another set of heads: the next generation.
    pub serves_anew: bool,
    /// Keys of what is to be deleted once the change is durable.
    pub delete: Vec<String>,
    /// Backfills to be started.
    pub backfills: Vec<Purpose>,
}

impl Effects {
    /// What leads from one state to the next.
    pub(super) fn between(before: &Life, after: &Life) -> Self {
        let mut effects = Self::default();
        for (place, status) in &after.heads {
            effects.head(before.heads.get(place), status);
        }
        for (fingerprint, status) in &after.models {
            effects.model(before.models.get(fingerprint), status);
        }
        effects.serves_anew = serving(before) != serving(after);
        let begun = before.unfinished();
        effects.backfills = after.unfinished().into_iter().filter(|p| !begun.contains(p)).collect();
        effects
    }

    fn head(&mut self, before: Option<&HeadStatus>, after: &HeadStatus) {
        if before.is_none_or(|before| before.record() != after.record()) {
            self.heads.push((after.key.clone(), after.record()));
        }
        let is = |state: &HeadState| before.is_some_and(|before| before.state == *state);
        let was_alive = before.is_some_and(HeadStatus::is_alive);
        match (was_alive, after.is_alive()) {
            (false, true) => self.add.push(after.key.clone()),
            (true, false) => self.drop.push(after.key.clone()),
            (true, true) | (false, false) => {}
        }
        if after.state == HeadState::Active && !is(&HeadState::Active) {
            self.activate.push(after.key.clone());
        }
        if after.state == HeadState::Draining && !is(&HeadState::Draining) {
            self.delete.push(after.key.clone());
        }
    }

    fn model(&mut self, before: Option<&ModelStatus>, after: &ModelStatus) {
        let fingerprint = || after.fingerprint.clone();
        if before.is_none_or(|before| before.record() != after.record()) {
            self.models.push((fingerprint(), after.record()));
        }
        let is = |state: &HeadState| before.is_some_and(|before| before.state == *state);
        let was_alive = before.is_some_and(ModelStatus::is_alive);
        match (was_alive, after.is_alive()) {
            (false, true) => self.add_models.push(fingerprint()),
            (true, false) => self.drop_models.push(fingerprint()),
            (true, true) | (false, false) => {}
        }
        if after.state == HeadState::Active && !is(&HeadState::Active) {
            self.switch = Some(fingerprint());
        }
        if after.state == HeadState::Draining && !is(&HeadState::Draining) {
            self.delete.extend(file_keys(&after.fingerprint));
        }
    }

    /// Whether anything is to be written down.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !self.heads.is_empty() || !self.models.is_empty()
    }
}

/// The model that serves and its heads.
fn serving(life: &Life) -> (Option<&str>, Vec<&str>) {
    let heads = life.heads().filter(|s| s.state == HeadState::Active).map(|s| s.key.as_str());
    (life.serving().ok().map(|m| m.fingerprint.as_str()), heads.collect())
}
