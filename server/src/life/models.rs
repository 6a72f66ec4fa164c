//! Changes of models with their heads.

use super::change::NewModel;
use super::records::file_keys;
use super::refusal::Refusal;
use super::state::HeadState;
use super::status::{HeadStatus, Life, ModelStatus};
use super::step::Transition;
use crate::store::Outcome;
use lapel_heads::Head;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Transition {
    pub(super) fn register_model(&mut self, new: &NewModel) -> Result<Outcome, Refusal> {
        let outcome = Outcome::Model(new.fingerprint.clone());
        if is_there(&self.life, new)? {
            return Ok(outcome);
        }
        check_room(&self.life, new)?;
        let statuses: Vec<HeadStatus> = new.heads.iter().map(|head| self.insert(head, false)).collect();
        let heads: Vec<String> = statuses.into_iter().map(|status| status.key).collect();
        self.files = heads.iter().cloned().chain(file_keys(&new.fingerprint)).collect();
        let model = ModelStatus {
            fingerprint: new.fingerprint.clone(),
            state: HeadState::Backfilling,
            promotes_itself: !new.hold,
            heads,
            registered_ms: self.now_ms,
        };
        self.life.models.insert(new.fingerprint.clone(), model);
        Ok(outcome)
    }

    pub(super) fn model_filled(&mut self, fingerprint: &str) -> Result<Outcome, Refusal> {
        let model = self.life.model(fingerprint)?.clone();
        if model.state == HeadState::Backfilling {
            let has_failed = |s: &&HeadStatus| model.heads.contains(&s.key) && !s.is_alive();
            if let Some(failed) = self.life.heads_of_model(fingerprint).find(has_failed) {
                return Err(Refusal::HeadOfBuildFailed { head: failed.name.clone() });
            }
            if model.promotes_itself {
                self.switch_to(&model)?;
            } else {
                let building = self.keys_of(fingerprint, |s| s.state == HeadState::Backfilling);
                self.set(&building, &HeadState::Standby);
                self.set_model(fingerprint, &HeadState::Standby);
            }
        }
        Ok(Outcome::Model(model.fingerprint))
    }

    pub(super) fn switch(&mut self, fingerprint: &str) -> Result<Outcome, Refusal> {
        let model = self.life.model(fingerprint)?.clone();
        match &model.state {
            HeadState::Active => {}
            HeadState::Standby => self.switch_to(&model)?,
            state => {
                let state = state.name();
                return Err(Refusal::ModelNotOnStandby { fingerprint: model.fingerprint, state });
            }
        }
        Ok(Outcome::Model(model.fingerprint))
    }

    /// Puts a model in service with its heads; the one that serves goes on standby with its own, and external heads stay.
    fn switch_to(&mut self, target: &ModelStatus) -> Result<(), Refusal> {
        let serving = self.life.serving()?.fingerprint.clone();
        let leaving = self.keys_of(&serving, |s| s.state == HeadState::Active);
        // An external version of the same name that serves goes on serving.
        let is_external = |s: &&HeadStatus| s.backbone.is_none() && s.state == HeadState::Active;
        let external: Vec<String> = self.life.heads().filter(is_external).map(|s| s.name.clone()).collect();
        let is_ready = |s: &HeadStatus| {
            target.heads.contains(&s.key) && matches!(s.state, HeadState::Standby | HeadState::Backfilling)
        };
        let ready = self.keys_of(&target.fingerprint, is_ready);
        let entering = self.keys_of(&target.fingerprint, |s| is_ready(s) && !external.contains(&s.name));
        if entering.is_empty() {
            return Err(Refusal::NoHeadsLeft { fingerprint: target.fingerprint.clone() });
        }
        self.set(&leaving, &HeadState::Standby);
        self.set(&ready, &HeadState::Standby);
        self.set(&entering, &HeadState::Active);
        self.set_model(&serving, &HeadState::Standby);
        self.set_model(&target.fingerprint, &HeadState::Active);
        if let Some(model) = self.life.models.get_mut(&serving) {
            model.heads = leaving;
        }
        if let Some(model) = self.life.models.get_mut(&target.fingerprint) {
            // From now on it changes places only when told to.
            model.promotes_itself = false;
        }
        Ok(())
    }

    pub(super) fn drop_model(&mut self, fingerprint: &str) -> Result<Outcome, Refusal> {
        let model = self.life.model(fingerprint)?.clone();
        match &model.state {
            HeadState::Active => return Err(Refusal::GenerationServes { fingerprint: model.fingerprint }),
            HeadState::Draining | HeadState::Retired => {}
            HeadState::Backfilling | HeadState::Standby | HeadState::Failed(_) => {
                let is_left = |s: &HeadStatus| s.is_alive() || matches!(s.state, HeadState::Failed(_));
                let going = self.keys_of(&model.fingerprint, is_left);
                self.set(&going, &HeadState::Draining);
                self.set_model(&model.fingerprint, &HeadState::Draining);
            }
        }
        Ok(Outcome::Model(model.fingerprint))
    }

    pub(super) fn fail_model(&mut self, fingerprint: &str, reason: &str) -> Result<Outcome, Refusal> {
        let model = self.life.model(fingerprint)?.clone();
        if model.state == HeadState::Backfilling {
            let failed = HeadState::Failed(reason.to_owned());
            let building = self.keys_of(fingerprint, HeadStatus::is_alive);
            self.set(&building, &failed);
            self.set_model(fingerprint, &failed);
        }
        Ok(Outcome::Model(model.fingerprint))
    }

    fn keys_of(&self, fingerprint: &str, wanted: impl Fn(&HeadStatus) -> bool) -> Vec<String> {
        let heads = self.life.heads_of_model(fingerprint);
        heads.filter(|status| wanted(status)).map(|status| status.key.clone()).collect()
    }
}

/// Whether this very model is there already: with the same heads, no fewer and no more, and waiting as it is asked to.
fn is_there(life: &Life, new: &NewModel) -> Result<bool, Refusal> {
    let Some(there) = life.models.get(&new.fingerprint).filter(|m| m.is_alive()) else { return Ok(false) };
    let alive = life.heads_of_model(&new.fingerprint).filter(|s| s.is_alive());
    let alive: BTreeSet<&str> = alive.map(|s| s.bundle_sha256.as_str()).collect();
    let asked: BTreeSet<&str> = new.heads.iter().map(|head| head.id()).collect();
    if alive != asked {
        return Err(Refusal::OtherHeads { fingerprint: new.fingerprint.clone() });
    }
    check_hold(there, new.hold)?;
    Ok(true)
}

/// Refuses another `hold` than that with which the model is there. One that serves may be asked for with either.
fn check_hold(there: &ModelStatus, hold: bool) -> Result<(), Refusal> {
    let how = match (&there.state, hold) {
        (HeadState::Standby, false) => "on standby; switch to it",
        (HeadState::Backfilling, false) if !there.promotes_itself => {
            "being built to stand by; switch to it once it does"
        }
        (HeadState::Backfilling, true) if there.promotes_itself => {
            "being built to serve at once; drop it, and build it again to hold it"
        }
        _ => return Ok(()),
    };
    Err(Refusal::OtherHold { what: format!("backbone {}", there.fingerprint), how })
}

fn check_room(life: &Life, new: &NewModel) -> Result<(), Refusal> {
    let waits = |m: &&ModelStatus| m.is_alive() && m.state != HeadState::Active;
    if let Some(other) = life.models.values().find(waits) {
        return Err(Refusal::GenerationWaits {
            fingerprint: other.fingerprint.clone(),
            state: other.state.name(),
        });
    }
    for external in life.heads().filter(|s| s.is_alive() && s.backbone.is_none()) {
        let meets = |head: &&Arc<Head>| {
            head.name() == external.name
                || external.attributes().any(|a| head.manifest().attribute(a).is_some())
        };
        if let Some(head) = new.heads.iter().find(meets) {
            return Err(Refusal::ExternalHead {
                head: head.name().to_owned(),
                external: external.name.clone(),
            });
        }
    }
    Ok(())
}
