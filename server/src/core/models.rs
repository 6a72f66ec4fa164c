//! Generations with a backbone of their own: built beside the one that serves, switched in one step, rolled back.

use super::warm::warm;
use super::{Core, RequestId, now_ms};
use crate::catalogue::{Column, Snapshot};
use crate::error::Error;
use crate::heads::{HeadEvent, HeadState, HeadStatus, Progress, Purpose, Tried, is_whole, spawn_backfill};
use crate::model::Model;
use crate::store::{HeadChange, ModelRecord, Outcome, StoredState};
use lapel_heads::Head;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A model as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// The backbone's fingerprint.
    pub fingerprint: String,
    /// Its state.
    pub state: HeadState,
    /// Whether it serves as soon as its heads are whole.
    pub promotes_itself: bool,
    /// Keys of the heads that serve with it.
    pub heads: Vec<String>,
    /// When it was stored, milliseconds since 1970.
    pub registered_ms: u64,
}

impl ModelStatus {
    /// Whether it has data: it serves, stands by, or is being built.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.state, HeadState::Backfilling | HeadState::Standby | HeadState::Active)
    }

    fn record(&self, state: StoredState) -> ModelRecord {
        ModelRecord {
            state,
            promotes_itself: self.promotes_itself,
            heads: self.heads.clone(),
            registered_ms: self.registered_ms,
        }
    }
}

/// By fingerprint.
pub type Models = BTreeMap<String, ModelStatus>;

/// The files of a generation.
#[derive(Clone, Debug, Default)]
pub struct GenerationFiles {
    /// The backbone's weights.
    pub backbone: Vec<u8>,
    /// The bundle of "Extract Parts?".
    pub extract_parts: Vec<u8>,
    /// The heads' bundles.
    pub heads: Vec<Vec<u8>>,
}

/// Where the store keeps the files of a model.
pub(super) fn file_keys(fingerprint: &str) -> [String; 2] {
    [format!("{fingerprint}/backbone"), format!("{fingerprint}/extract_parts")]
}

struct Checked {
    files: GenerationFiles,
    model: Arc<Model>,
    heads: Vec<Arc<Head>>,
}

fn check(files: GenerationFiles, slowest_ms: u64) -> Result<Checked, Error> {
    let model = Arc::new(Model::from_bytes(&files.backbone, &files.extract_parts)?);
    let (mut names, mut attributes) = (HashSet::new(), HashSet::new());
    let mut heads = Vec::with_capacity(files.heads.len());
    for bytes in &files.heads {
        let head = Head::from_bytes(bytes, model.backbone())?;
        if !head.has_network() {
            let wanted =
                format!("head {:?} is external; external heads serve with every backbone", head.name());
            return Err(Error::invalid("header.file", wanted));
        }
        if !names.insert(head.name().to_owned()) {
            return Err(Error::invalid("header.file", format!("head {:?} is given twice", head.name())));
        }
        if let Some(twice) = head.manifest().attributes.iter().find(|a| !attributes.insert(a.name.clone())) {
            let wanted = format!("attribute {:?} is told apart by two of the heads", twice.name);
            return Err(Error::invalid("header.file", wanted));
        }
        warm(&model, &head, slowest_ms)?;
        heads.push(Arc::new(head));
    }
    if heads.is_empty() {
        return Err(Error::invalid("header.file", "a generation needs at least one head"));
    }
    Ok(Checked { files, model, heads })
}

impl Core {
    /// All models, by fingerprint.
    #[must_use]
    pub fn models(&self) -> Models {
        self.models.borrow().clone()
    }

    /// A model as it is now; an empty fingerprint means the newest of those that do not serve.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn model_status(&self, fingerprint: &str) -> Result<ModelStatus, Error> {
        let models = self.models();
        let found = match fingerprint {
            "" => models
                .values()
                .filter(|m| m.state != HeadState::Active)
                .max_by_key(|m| (m.is_alive(), m.registered_ms)),
            _ => models.get(fingerprint),
        };
        found.cloned().ok_or_else(|| Error::NotFound {
            what: "backbone",
            name: fingerprint.to_owned(),
            valid: models.keys().cloned().collect(),
        })
    }

    /// The heads of a model, by name and version.
    #[must_use]
    pub fn heads_of_model(&self, fingerprint: &str) -> Vec<HeadStatus> {
        let of_model = |s: &HeadStatus| s.backbone.as_deref() == Some(fingerprint);
        self.registry.all().into_iter().filter(of_model).collect()
    }

    /// Stores a backbone with its heads and starts to compute their signatures. The same files again return what is
    /// there.
    ///
    /// # Errors
    /// [`Error`], by what is wrong with the files; [`Error::Precondition`] when another generation waits.
    pub async fn build_generation(
        self: &Arc<Self>,
        files: GenerationFiles,
        hold: bool,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        let slowest_ms = self.config.limits.head_ms_max;
        let checked = tokio::task::spawn_blocking(move || check(files, slowest_ms)).await??;
        self.uninterrupted(move |core| async move { core.store_generation(checked, hold, request).await })
            .await
    }

    async fn store_generation(
        self: &Arc<Self>,
        checked: Checked,
        hold: bool,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        let Checked { files, model, heads } = checked;
        let fingerprint = model.fingerprint().to_owned();
        if let Some(done) = self.model_done_before(&request).await? {
            return Ok(done);
        }
        if let Some(there) = self.check_model_free(&fingerprint, &heads)? {
            return Ok(there);
        }
        let registered_ms = now_ms();
        let mut statuses = Vec::with_capacity(heads.len());
        for head in &heads {
            let version = self.registry.next_version(head.name());
            statuses.push(HeadStatus {
                key: format!("{}-{version}-{}", head.name(), &head.id()[..12]),
                name: head.name().to_owned(),
                version,
                bundle_sha256: head.id().to_owned(),
                backbone: Some(fingerprint.clone()),
                head: Some(head.clone()),
                state: HeadState::Warming,
                progress: Progress::default(),
                promotes_itself: false,
                served_ms: 0,
                registered_ms,
            });
        }
        let keys: Vec<String> = statuses.iter().map(|s| s.key.clone()).collect();
        let status = ModelStatus {
            fingerprint: fingerprint.clone(),
            state: HeadState::Backfilling,
            promotes_itself: !hold,
            heads: keys.clone(),
            registered_ms,
        };
        let mut bundles: Vec<(String, Vec<u8>)> = keys.into_iter().zip(files.heads).collect();
        bundles.extend(file_keys(&fingerprint).into_iter().zip([files.backbone, files.extract_parts]));
        self.change_heads(HeadChange {
            heads: statuses.iter().map(|s| (s.key.clone(), s.record(StoredState::Backfilling))).collect(),
            models: vec![(fingerprint.clone(), status.record(StoredState::Backfilling))],
            bundles,
            generation: self.snapshot().generation,
            receipt: request.receipt(Outcome::Model(fingerprint.clone())),
        })
        .await?;
        let mut next = Snapshot::clone(&self.snapshot());
        next.add_model(model);
        for (status, head) in statuses.iter().zip(heads) {
            let column = Column::new(&status.key, head, self.config.search.signatures);
            next.add_reserve(column.of_version(status.version));
        }
        self.publish(next);
        for status in statuses {
            let key = status.key.clone();
            self.registry.insert(status);
            self.registry.apply(&key, HeadEvent::BackfillStarted)?;
        }
        self.set_model(status.clone());
        spawn_backfill(self, Purpose::Model(fingerprint));
        Ok(status)
    }

    pub(super) async fn model_done_before(&self, request: &RequestId) -> Result<Option<ModelStatus>, Error> {
        match self.outcome(request).await? {
            Some(Outcome::Model(fingerprint)) => self.model_status(&fingerprint).map(Some),
            _ => Ok(None),
        }
    }

    fn check_model_free(&self, fingerprint: &str, heads: &[Arc<Head>]) -> Result<Option<ModelStatus>, Error> {
        let alive: Vec<ModelStatus> = self.models().into_values().filter(ModelStatus::is_alive).collect();
        if let Some(same) = alive.iter().find(|m| m.fingerprint == fingerprint) {
            let there: HashSet<String> = self
                .heads_of_model(fingerprint)
                .into_iter()
                .filter(HeadStatus::is_alive)
                .map(|s| s.bundle_sha256)
                .collect();
            if heads.iter().all(|h| there.contains(h.id())) {
                return Ok(Some(same.clone()));
            }
            return Err(Error::Exists(format!(
                "backbone {fingerprint} is there with other heads; register heads on it one by one"
            )));
        }
        if let Some(other) = alive.iter().find(|m| m.state != HeadState::Active) {
            return Err(Error::Precondition {
                reason: "GENERATION_WAITS",
                message: format!(
                    "backbone {} is {} already; drop it first",
                    other.fingerprint,
                    other.state.name()
                ),
            });
        }
        for external in self.registry.all().into_iter().filter(|s| s.is_alive() && s.backbone.is_none()) {
            let attributes = external.head.iter().flat_map(|h| &h.manifest().attributes);
            let taken: HashSet<&String> = attributes.map(|a| &a.name).collect();
            for head in heads {
                let attribute = head.manifest().attributes.iter().find(|a| taken.contains(&a.name));
                if head.name() == external.name || attribute.is_some() {
                    return Err(Error::Exists(format!(
                        "head {:?} has the name or an attribute of the external head {:?}",
                        head.name(),
                        external.name
                    )));
                }
            }
        }
        Ok(None)
    }

    fn set_model(&self, status: ModelStatus) {
        self.models.send_modify(|models| {
            models.insert(status.fingerprint.clone(), status);
        });
    }

    /// Lets a model serve or stand by if every item has been tried for all its heads.
    pub(crate) async fn finish_model(&self, fingerprint: &str, tried: &Tried) -> Result<bool, Error> {
        let _writer = self.writer.lock().await;
        let status = self.model_status(fingerprint)?;
        if status.state != HeadState::Backfilling {
            return Ok(true);
        }
        let heads = self.heads_of_model(fingerprint);
        if let Some(failed) =
            heads.iter().find(|s| matches!(s.state, HeadState::Failed(_)) && status.heads.contains(&s.key))
        {
            return Err(Error::Internal(format!("its head {:?} failed", failed.name)));
        }
        let snapshot = self.snapshot();
        if !status.heads.iter().all(|key| is_whole(&snapshot, key, tried)) {
            return Ok(false);
        }
        if status.promotes_itself {
            self.switch_to(&status, RequestId::none()).await?;
            return Ok(true);
        }
        let building: Vec<_> = heads.into_iter().filter(|s| s.state == HeadState::Backfilling).collect();
        self.change_heads(HeadChange {
            heads: building.iter().map(|s| (s.key.clone(), s.record(StoredState::Standby))).collect(),
            models: vec![(status.fingerprint.clone(), status.record(StoredState::Standby))],
            generation: snapshot.generation,
            ..HeadChange::default()
        })
        .await?;
        for head in building {
            self.registry.apply(&head.key, HeadEvent::BackfillDone)?;
        }
        self.set_model(ModelStatus { state: HeadState::Standby, ..status });
        Ok(true)
    }

    /// Puts the model on standby in service with its heads; the one that serves goes on standby with its own.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it is not on standby.
    pub async fn switch_generation(
        self: &Arc<Self>,
        fingerprint: String,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.model_done_before(&request).await? {
                return Ok(done);
            }
            let status = core.model_status(&fingerprint)?;
            match status.state {
                HeadState::Active => Ok(status),
                HeadState::Standby => core.switch_to(&status, request).await,
                state => Err(Error::Precondition {
                    reason: "NOT_ON_STANDBY",
                    message: format!("backbone {} is {}, not on standby", status.fingerprint, state.name()),
                }),
            }
        })
        .await
    }

    /// The caller holds the writer's lock.
    async fn switch_to(&self, target: &ModelStatus, request: RequestId) -> Result<ModelStatus, Error> {
        let serving = self.models().into_values().find(|m| m.state == HeadState::Active);
        let serving = serving.ok_or_else(|| Error::Internal("no model serves".into()))?;
        let mut next = Snapshot::clone(&self.snapshot());
        let leaving: Vec<HeadStatus> = self
            .heads_of_model(&serving.fingerprint)
            .into_iter()
            .filter(|s| s.state == HeadState::Active)
            .collect();
        let ready = |s: &HeadStatus| {
            target.heads.contains(&s.key) && matches!(s.state, HeadState::Standby | HeadState::Backfilling)
        };
        let entering: Vec<HeadStatus> =
            self.heads_of_model(&target.fingerprint).into_iter().filter(ready).collect();
        let keys: Vec<String> = entering.iter().map(|s| s.key.clone()).collect();
        if keys.is_empty() || !next.switch(&target.fingerprint, &keys) {
            return Err(Error::Precondition {
                reason: "NO_HEADS",
                message: format!("backbone {} has no heads left to serve", target.fingerprint),
            });
        }
        let served_ms = now_ms();
        let enter = |s: &HeadStatus| HeadStatus { served_ms, ..s.clone() }.record(StoredState::Active);
        let mut heads: Vec<_> = entering.iter().map(|s| (s.key.clone(), enter(s))).collect();
        heads.extend(leaving.iter().map(|s| (s.key.clone(), s.record(StoredState::Standby))));
        // From now on it changes places only when told to.
        let target = ModelStatus { state: HeadState::Active, promotes_itself: false, ..target.clone() };
        let serving = ModelStatus {
            state: HeadState::Standby,
            heads: leaving.iter().map(|s| s.key.clone()).collect(),
            ..serving
        };
        self.change_heads(HeadChange {
            heads,
            models: vec![
                (target.fingerprint.clone(), target.record(StoredState::Active)),
                (serving.fingerprint.clone(), serving.record(StoredState::Standby)),
            ],
            generation: next.generation,
            receipt: request.receipt(Outcome::Model(target.fingerprint.clone())),
            ..HeadChange::default()
        })
        .await?;
        tracing::info!(backbone = target.fingerprint, generation = next.generation, "backbone in service");
        self.publish(next);
        for head in &leaving {
            self.registry.apply(&head.key, HeadEvent::Relieve)?;
        }
        for head in &entering {
            if head.state == HeadState::Backfilling {
                self.registry.apply(&head.key, HeadEvent::BackfillDone)?;
            }
            self.registry.apply(&head.key, HeadEvent::Promote)?;
        }
        self.set_model(serving);
        self.set_model(target.clone());
        Ok(target)
    }

    /// Drops a model that does not serve, with its heads.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it serves.
    pub async fn drop_generation(
        self: &Arc<Self>,
        fingerprint: String,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.model_done_before(&request).await? {
                return Ok(done);
            }
            let status = core.model_status(&fingerprint)?;
            match status.state {
                HeadState::Active => Err(Error::Precondition {
                    reason: "GENERATION_SERVES",
                    message: format!("backbone {} serves; switch to another one first", status.fingerprint),
                }),
                HeadState::Retired => Ok(status),
                _ => core.end_model(&status, HeadState::Retired, request).await,
            }
        })
        .await
    }

    /// Turns a model that cannot be built into a failed one; queries never saw it.
    pub(crate) async fn fail_model(&self, fingerprint: &str, reason: &str) {
        let _writer = self.writer.lock().await;
        let Ok(status) = self.model_status(fingerprint) else { return };
        if status.state == HeadState::Backfilling {
            let failed =
                self.end_model(&status, HeadState::Failed(reason.to_owned()), RequestId::none()).await;
            if let Err(error) = failed {
                tracing::error!(fingerprint, %error, "a failed build cannot be recorded");
            }
        }
    }

    /// Takes a model and its heads out of the snapshot, and once it is retired deletes their data, that of heads which had
    /// failed included. The caller holds the writer's lock.
    async fn end_model(
        &self,
        status: &ModelStatus,
        state: HeadState,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        let stored = match &state {
            HeadState::Failed(reason) => StoredState::Failed(reason.clone()),
            _ => StoredState::Retired,
        };
        let is_over = state == HeadState::Retired;
        let ends = |s: &HeadStatus| s.is_alive() || (is_over && matches!(s.state, HeadState::Failed(_)));
        let heads: Vec<HeadStatus> =
            self.heads_of_model(&status.fingerprint).into_iter().filter(ends).collect();
        let mut next = Snapshot::clone(&self.snapshot());
        for head in &heads {
            next.drop_column(&head.key);
        }
        next.drop_model(&status.fingerprint);
        self.change_heads(HeadChange {
            heads: heads.iter().map(|s| (s.key.clone(), s.record(stored.clone()))).collect(),
            models: vec![(status.fingerprint.clone(), status.record(stored))],
            generation: next.generation,
            receipt: request.receipt(Outcome::Model(status.fingerprint.clone())),
            ..HeadChange::default()
        })
        .await?;
        self.publish(next);
        for head in &heads {
            let event = match &state {
                HeadState::Failed(reason) => HeadEvent::Fail(reason.clone()),
                _ => HeadEvent::Retire,
            };
            self.registry.apply(&head.key, event)?;
        }
        self.forget_features(&status.fingerprint);
        if is_over {
            let keys = heads.iter().map(|s| s.key.clone()).chain(file_keys(&status.fingerprint));
            self.drop_data(keys.collect()).await;
            for head in &heads {
                self.registry.apply(&head.key, HeadEvent::Drained)?;
            }
        }
        let ended = ModelStatus { state, ..status.clone() };
        self.set_model(ended.clone());
        Ok(ended)
    }

    /// A head of a generation that is being built is neither cancelled nor retired alone: the generation would be taken for
    /// whole without it.
    pub(super) fn check_own_build(&self, head: &HeadStatus) -> Result<(), Error> {
        let building = head.backbone.as_ref().and_then(|b| self.models().remove(b));
        match building.filter(|m| m.state == HeadState::Backfilling) {
            Some(model) => Err(Error::Precondition {
                reason: "PART_OF_A_BUILD",
                message: format!(
                    "{:?} is built with backbone {}; drop that generation",
                    head.name, model.fingerprint
                ),
            }),
            None => Ok(()),
        }
    }
}
