//! Changes of single heads.

use super::change::NewHead;
use super::refusal::Refusal;
use super::state::HeadState;
use super::status::{HeadStatus, Life, Progress, no_version};
use super::step::Transition;
use crate::store::Outcome;
use lapel_heads::Head;
use std::sync::Arc;

fn outcome_of(status: &HeadStatus) -> Outcome {
    Outcome::Head(status.name.clone(), status.version)
}

/// The beginning of a bundle's hash.
fn short(bundle_sha256: &str) -> &str {
    bundle_sha256.get(..12).unwrap_or(bundle_sha256)
}

impl Transition {
    pub(super) fn register(&mut self, new: &NewHead) -> Result<Outcome, Refusal> {
        let head = &new.head;
        let serving = self.life.serving()?.fingerprint.as_str();
        if head.has_network() && head.manifest().backbone.as_deref() != Some(serving) {
            return Err(Refusal::OtherBackbone);
        }
        let is_same = |s: &&HeadStatus| s.is_alive() && s.name == head.name() && s.bundle_sha256 == head.id();
        if let Some(there) = self.life.heads().find(is_same) {
            check_hold(there, new.hold)?;
            return Ok(outcome_of(there));
        }
        self.life.check_free(&Claim::of(new))?;
        let status = self.insert(head, !new.hold);
        self.files = vec![status.key.clone()];
        Ok(outcome_of(&status))
    }

    /// The next version of a head's name, which is to be backfilled.
    pub(super) fn insert(&mut self, head: &Arc<Head>, promotes_itself: bool) -> HeadStatus {
        let newest = self.life.newest(head.name(), 0).map_or(0, |s| s.version);
        let version = newest + 1;
        let status = HeadStatus {
            key: format!("{}-{version}-{}", head.name(), short(head.id())),
            name: head.name().to_owned(),
            version,
            bundle_sha256: head.id().to_owned(),
            backbone: head.manifest().backbone.clone().filter(|_| head.has_network()),
            head: Some(head.clone()),
            state: HeadState::Backfilling,
            progress: Progress::default(),
            promotes_itself,
            served_ms: 0,
            registered_ms: self.now_ms,
        };
        self.life.heads.insert((status.name.clone(), version), status.clone());
        status
    }

    pub(super) fn head_filled(&mut self, key: &str) -> Result<Outcome, Refusal> {
        let status = self.known(key)?;
        if status.state == HeadState::Backfilling {
            // The backbone may have been switched during the backfill.
            if status.promotes_itself && status.is_on(&self.life.serving()?.fingerprint) {
                self.serve(&status);
            } else {
                self.set(std::slice::from_ref(&status.key), &HeadState::Standby);
            }
        }
        Ok(outcome_of(&status))
    }

    pub(super) fn promote(&mut self, name: &str, version: u32) -> Result<Outcome, Refusal> {
        let serving = self.life.serving()?.fingerprint.as_str();
        let waits = |s: &HeadStatus| s.state == HeadState::Standby && s.is_on(serving);
        let found = match version {
            0 => self.life.versions(name)?.into_iter().rfind(|s| waits(s)),
            _ => Some(self.life.get(name, version)?),
        };
        let name = name.to_owned();
        let Some(status) = found else { return Err(Refusal::NoneOnStandby { name }) };
        match &status.state {
            HeadState::Standby if waits(status) => {
                let status = status.clone();
                self.serve(&status);
                Ok(outcome_of(&status))
            }
            HeadState::Active => Ok(outcome_of(status)),
            HeadState::Standby => Err(Refusal::OnOtherBackbone { name, version }),
            state => Err(Refusal::NotOnStandby { name, version, state: state.name() }),
        }
    }

    pub(super) fn roll_back(&mut self, name: &str) -> Result<Outcome, Refusal> {
        self.life.versions(name)?;
        let before = self.served_before(name)?;
        let before = before.ok_or_else(|| Refusal::NothingToRollBack { name: name.to_owned() })?;
        self.serve(&before);
        Ok(outcome_of(&before))
    }

    pub(super) fn cancel(&mut self, name: &str) -> Result<Outcome, Refusal> {
        let versions = self.life.versions(name)?;
        let running = versions.into_iter().find(|s| s.state == HeadState::Backfilling).cloned();
        let running = running.ok_or_else(|| Refusal::NoBackfill { name: name.to_owned() })?;
        self.drain(name, &[running])
    }

    pub(super) fn retire(&mut self, name: &str, version: u32) -> Result<Outcome, Refusal> {
        let serving = self.life.serving()?.fingerprint.as_str();
        let is_gone = |s: &HeadStatus| matches!(s.state, HeadState::Retired | HeadState::Draining);
        let left: Vec<_> = self.life.versions(name)?.into_iter().filter(|s| !is_gone(s)).collect();
        if version != 0 && !left.is_empty() && left.iter().all(|s| s.version != version) {
            return Err(no_version(name, version, &left));
        }
        let (going, staying): (Vec<_>, Vec<_>) = left.into_iter().partition(|s| match version {
            // Versions on another backbone go when that generation is dropped.
            0 => s.is_on(serving) || !s.is_alive(),
            _ => s.version == version,
        });
        if going.iter().any(|s| s.state == HeadState::Active) {
            let name = name.to_owned();
            if version != 0 && staying.iter().any(|s| s.is_alive()) {
                return Err(Refusal::VersionServes { name, version });
            }
            if self.life.heads().filter(|s| s.state == HeadState::Active).count() == 1 {
                return Err(Refusal::LastHead { name });
            }
        }
        let going: Vec<HeadStatus> = going.into_iter().cloned().collect();
        self.drain(name, &going)
    }

    /// Takes versions of one head out and lets their data be deleted.
    fn drain(&mut self, name: &str, going: &[HeadStatus]) -> Result<Outcome, Refusal> {
        if let Some(part) = going.iter().find(|s| self.life.is_part_of_build(s)) {
            return Err(Refusal::PartOfBuild {
                head: part.name.clone(),
                fingerprint: part.backbone.clone().unwrap_or_default(),
            });
        }
        let keys: Vec<String> = going.iter().map(|s| s.key.clone()).collect();
        self.set(&keys, &HeadState::Draining);
        let last = going.last().map(outcome_of);
        last.ok_or_else(|| Refusal::NoHeadInService { name: name.to_owned() })
    }

    pub(super) fn fail(&mut self, key: &str, reason: &str) -> Result<Outcome, Refusal> {
        let status = self.known(key)?;
        if status.is_alive() {
            self.set(std::slice::from_ref(&status.key), &HeadState::Failed(reason.to_owned()));
            if let Some(backbone) = status.backbone.as_deref().filter(|_| self.life.is_part_of_build(&status))
            {
                // A generation is built whole or not at all.
                let refusal = Refusal::HeadOfBuildFailed { head: status.name.clone() };
                self.fail_model(backbone, &format!("{refusal}: {reason}"))?;
            }
            if status.state == HeadState::Active
                && let Some(before) = self.served_before(&status.name)?
            {
                self.serve(&before);
            }
        }
        Ok(outcome_of(&status))
    }

    /// Lets a version serve in the place of the one that does.
    fn serve(&mut self, status: &HeadStatus) {
        let serves = |s: &&HeadStatus| s.name == status.name && s.state == HeadState::Active;
        let serving: Vec<String> = self.life.heads().filter(serves).map(|s| s.key.clone()).collect();
        self.set(&serving, &HeadState::Standby);
        self.set(std::slice::from_ref(&status.key), &HeadState::Active);
    }

    /// The version on standby that served last.
    fn served_before(&self, name: &str) -> Result<Option<HeadStatus>, Refusal> {
        let serving = self.life.serving()?.fingerprint.as_str();
        let served = |s: &&HeadStatus| s.state == HeadState::Standby && s.served_ms > 0 && s.is_on(serving);
        let versions = self.life.versions(name)?.into_iter().filter(served);
        Ok(versions.max_by_key(|s| (s.served_ms, s.version)).cloned())
    }

    fn known(&self, key: &str) -> Result<HeadStatus, Refusal> {
        let unknown = || Refusal::Unknown { what: "head", name: key.to_owned(), valid: Vec::new() };
        self.life.of_key(key).cloned().ok_or_else(unknown)
    }
}

/// Refuses another `hold` than that with which the version is there. One that serves may be asked for with either.
fn check_hold(there: &HeadStatus, hold: bool) -> Result<(), Refusal> {
    let how = match (&there.state, hold) {
        (HeadState::Standby, false) => "on standby; promote it",
        (HeadState::Backfilling, false) if !there.promotes_itself => {
            "being backfilled to stand by; promote it once it does"
        }
        (HeadState::Backfilling, true) if there.promotes_itself => {
            "being backfilled to serve at once; cancel it, and register it again to hold it"
        }
        _ => return Ok(()),
    };
    Err(Refusal::OtherHold { what: format!("version {} of {:?}", there.version, there.name), how })
}

/// What a head takes up that is none of those that are there.
pub struct Claim<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its attributes.
    pub attributes: Vec<&'a str>,
    /// Whether it computes its signatures itself.
    pub has_network: bool,
    /// Whether it becomes the next version of a head of its name.
    pub update: bool,
    /// Versions of heads that there may be.
    pub heads_max: usize,
}

impl<'a> Claim<'a> {
    fn of(new: &'a NewHead) -> Self {
        let NewHead { head, update, hold: _, heads_max } = new;
        Self {
            name: head.name(),
            attributes: head.manifest().attributes.iter().map(|known| known.name.as_str()).collect(),
            has_network: head.has_network(),
            update: *update,
            heads_max: *heads_max,
        }
    }
}

impl Life {
    /// Whether there is a place for another head.
    ///
    /// # Errors
    /// [`Refusal`], by what is taken.
    pub fn check_free(&self, claim: &Claim<'_>) -> Result<(), Refusal> {
        let Claim { name, attributes, has_network, update, heads_max } = claim;
        let alive: Vec<&HeadStatus> = self.heads().filter(|s| s.is_alive()).collect();
        let (same_name, others): (Vec<&HeadStatus>, Vec<_>) =
            alive.iter().copied().partition(|s| s.name == *name);
        if let (Some(there), false) = (same_name.last(), *update) {
            return Err(Refusal::NameTaken {
                name: there.name.clone(),
                version: there.version,
                bundle: short(&there.bundle_sha256).to_owned(),
            });
        }
        if let Some(busy) = same_name.iter().find(|s| s.state == HeadState::Backfilling) {
            return Err(Refusal::BackfillRunning { name: busy.name.clone(), version: busy.version });
        }
        let serving = self.serving()?.fingerprint.as_str();
        // An external head serves with every backbone, so that it meets the heads of all of them.
        for other in others.iter().filter(|s| !*has_network || s.is_on(serving)) {
            if let Some(taken) = other.attributes().find(|taken| attributes.contains(taken)) {
                return Err(Refusal::AttributeTaken {
                    attribute: taken.to_owned(),
                    head: other.name.clone(),
                });
            }
        }
        if alive.len() >= *heads_max {
            return Err(Refusal::TooManyHeads { count: alive.len() });
        }
        Ok(())
    }
}
