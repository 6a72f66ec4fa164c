//! The transition: from a state and a change to the next state and what it leads to.

use super::change::Change;
use super::effects::Effects;
use super::refusal::Refusal;
use super::state::HeadState;
use super::status::{HeadStatus, Life};
use crate::store::Outcome;

/// What a change leads to.
#[derive(Clone)]
pub struct Step {
    /// All heads and models after it.
    pub life: Life,
    /// What is to be done for it. Nothing to be written down: everything was so already.
    pub effects: Effects,
    /// What whoever asked for it is told, now and when the request is repeated; `None` where nobody asks.
    pub outcome: Option<Outcome>,
    /// Where the files that came with it are kept, in their order: those of heads, then those of the model.
    pub files: Vec<String>,
}

impl Life {
    /// The state after a change that happens at a time, milliseconds since 1970.
    ///
    /// # Errors
    /// [`Refusal`] for a change that the present state does not allow.
    pub fn step(&self, change: &Change, now_ms: u64) -> Result<Step, Refusal> {
        let mut next = Transition { life: self.clone(), now_ms, files: Vec::new() };
        let outcome = match change {
            Change::Register(new) => Some(next.register(new)?),
            Change::RegisterModel(new) => Some(next.register_model(new)?),
            Change::HeadFilled { key } => Some(next.head_filled(key)?),
            Change::ModelFilled { fingerprint } => Some(next.model_filled(fingerprint)?),
            Change::Promote { name, version } => Some(next.promote(name, *version)?),
            Change::RollBack { name } => Some(next.roll_back(name)?),
            Change::Cancel { name } => Some(next.cancel(name)?),
            Change::Retire { name, version } => Some(next.retire(name, *version)?),
            Change::Fail { key, reason } => Some(next.fail(key, reason)?),
            Change::Switch { fingerprint } => Some(next.switch(fingerprint)?),
            Change::DropModel { fingerprint } => Some(next.drop_model(fingerprint)?),
            Change::FailModel { fingerprint, reason } => Some(next.fail_model(fingerprint, reason)?),
            Change::Drained => {
                next.drained();
                None
            }
        };
        let Transition { life, files, .. } = next;
        let effects = Effects::between(self, &life);
        Ok(Step { life, effects, outcome, files })
    }
}

/// A state on its way to the next.
pub(super) struct Transition {
    pub(super) life: Life,
    pub(super) now_ms: u64,
    pub(super) files: Vec<String>,
}

impl Transition {
    /// Moves the heads with these keys to a state.
    pub(super) fn set(&mut self, keys: &[String], state: &HeadState) {
        for status in self.life.heads.values_mut().filter(|s| keys.contains(&s.key)) {
            status.state = state.clone();
            if !state.is_alive() {
                status.head = None;
            }
            if *state == HeadState::Active {
                status.served_ms = self.now_ms;
            }
        }
    }

    pub(super) fn set_model(&mut self, fingerprint: &str, state: &HeadState) {
        if let Some(model) = self.life.models.get_mut(fingerprint) {
            model.state = state.clone();
        }
    }

    fn drained(&mut self) {
        let draining = |s: &&HeadStatus| s.state == HeadState::Draining;
        let keys: Vec<String> = self.life.heads().filter(draining).map(|s| s.key.clone()).collect();
        self.set(&keys, &HeadState::Retired);
        for model in self.life.models.values_mut().filter(|m| m.state == HeadState::Draining) {
            model.state = HeadState::Retired;
        }
    }
}
