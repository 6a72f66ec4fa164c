//! The life of a head: registered, backfilled, promoted, rolled back, retired. Durable first, then visible.

use super::warm::warm;
use super::{Core, RequestId, now_ms};
use crate::catalogue::{Column, Snapshot};
use crate::error::Error;
use crate::heads::{HeadEvent, HeadState, HeadStatus, Progress, Purpose, Tried, is_whole, spawn_backfill};
use crate::store::{HeadChange, Outcome, StoredState};
use lapel_heads::{Bundle, Head};
use std::sync::Arc;

/// How a bundle is registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whether it becomes the next version of a head of its name.
    pub update: bool,
    /// Whether it waits to be promoted once its backfill is done.
    pub hold: bool,
    /// The request.
    pub request: RequestId,
}

impl Registration {
    /// A new head that serves as soon as it can.
    #[must_use]
    pub fn new() -> Self {
        Self { update: false, hold: false, request: RequestId::none() }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

impl Core {
    /// Validates a bundle, tries it out, makes it durable and starts its backfill; where there is nothing to backfill
    /// it serves at once. The same bundle again returns the version that is there.
    ///
    /// # Errors
    /// [`Error::Bundle`] for an unsound bundle, [`Error::Precondition`] for a slow one, [`Error::Exists`] when its name
    /// or an attribute is taken, [`Error::Exhausted`] with too many heads.
    pub async fn register_head(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        registration: Registration,
    ) -> Result<HeadStatus, Error> {
        let model = self.model()?;
        let slowest_ms = self.config.limits.head_ms_max;
        let (bytes, head) = tokio::task::spawn_blocking(move || {
            let head = Head::from_bytes(&bytes, model.backbone())?;
            warm(&model, &head, slowest_ms)?;
            Ok::<_, Error>((bytes, Arc::new(head)))
        })
        .await??;
        let core = self.clone();
        tokio::spawn(async move { core.store_head(bytes, head, registration).await }).await?
    }

    async fn store_head(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        head: Arc<Head>,
        registration: Registration,
    ) -> Result<HeadStatus, Error> {
        let _writer = self.writer.lock().await;
        if let Some(done) = self.head_done_before(&registration.request).await? {
            return Ok(done);
        }
        // The backbone may have been switched since the bundle was checked.
        if head.has_network() && !self.model()?.is_read_by(&head) {
            return Err(Error::Precondition {
                reason: "OTHER_BACKBONE",
                message: "another backbone has come into service; train the head on it".into(),
            });
        }
        if let Some(there) = self.check_free(&head, registration.update)? {
            return Ok(there);
        }
        let version = self.registry.next_version(head.name());
        let status = HeadStatus {
            key: format!("{}-{version}-{}", head.name(), &Bundle::id(&bytes)[..12]),
            name: head.name().to_owned(),
            version,
            bundle_sha256: head.id().to_owned(),
            backbone: head.manifest().backbone.clone().filter(|_| head.has_network()),
            head: Some(head.clone()),
            state: HeadState::Warming,
            progress: Progress::default(),
            promotes_itself: !registration.hold,
            served_ms: 0,
            registered_ms: now_ms(),
        };
        let key = status.key.clone();
        self.change_heads(HeadChange {
            heads: vec![(key.clone(), status.record(StoredState::Backfilling))],
            bundles: vec![(key.clone(), bytes)],
            generation: self.snapshot().generation,
            receipt: registration.request.receipt(Outcome::Head(status.name.clone(), version)),
            ..HeadChange::default()
        })
        .await?;
        let mut next = Snapshot::clone(&self.snapshot());
        next.add_reserve(Column::new(&key, head, self.config.search.signatures).of_version(version));
        self.publish(next);
        self.registry.insert(status);
        let status = self.registry.apply(&key, HeadEvent::BackfillStarted)?;
        if self.try_finish(&status, &Tried::new()).await? {
            return self.registry.get(&status.name, version);
        }
        spawn_backfill(self, Purpose::Head(key));
        Ok(status)
    }

    /// The version that an earlier request of this id led to, as it is now.
    pub(super) async fn head_done_before(&self, request: &RequestId) -> Result<Option<HeadStatus>, Error> {
        match self.outcome(request).await? {
            Some(Outcome::Head(name, version)) => self.registry.get(&name, version).map(Some),
            _ => Ok(None),
        }
    }

    /// `Some` when this very bundle is registered already.
    fn check_free(&self, head: &Head, update: bool) -> Result<Option<HeadStatus>, Error> {
        let alive: Vec<HeadStatus> = self.registry.all().into_iter().filter(HeadStatus::is_alive).collect();
        let (same_name, others): (Vec<_>, Vec<_>) = alive.iter().partition(|s| s.name == head.name());
        if let Some(same) = same_name.iter().find(|s| s.bundle_sha256 == head.id()) {
            return Ok(Some((*same).clone()));
        }
        if let (Some(there), false) = (same_name.last(), update) {
            return Err(Error::Exists(format!(
                "head {:?} is there already with other content (version {}, bundle {}); register it as an update, or \
                 retire it first",
                there.name,
                there.version,
                &there.bundle_sha256[..12]
            )));
        }
        if let Some(busy) = same_name.iter().find(|s| s.state == HeadState::Backfilling) {
            return Err(Error::Precondition {
                reason: "BACKFILL_RUNNING",
                message: format!(
                    "version {} of {:?} is being backfilled; wait or cancel it",
                    busy.version, busy.name
                ),
            });
        }
        let model = self.model()?;
        for status in others.iter().filter(|s| s.is_on(model.fingerprint())) {
            let taken = status.head.iter().flat_map(|h| &h.manifest().attributes);
            if let Some(attribute) = taken.map(|a| &a.name).find(|a| head.manifest().attribute(a).is_some()) {
                return Err(Error::Exists(format!(
                    "attribute {attribute:?} is told apart by head {:?} already; retire it first",
                    status.name
                )));
            }
        }
        if alive.len() >= self.config.limits.heads_max {
            let count = alive.len();
            return Err(Error::Exhausted(format!(
                "there are {count} versions of heads already; retire one first"
            )));
        }
        Ok(None)
    }

    /// Lets a head serve or stand by if every item has been tried.
    pub(crate) async fn finish_head(&self, key: &str, tried: &Tried) -> Result<bool, Error> {
        let _writer = self.writer.lock().await;
        let status = self.registry.of_key(key);
        match status.filter(|s| s.state == HeadState::Backfilling) {
            Some(status) => self.try_finish(&status, tried).await,
            None => Ok(true),
        }
    }

    /// The caller holds the writer's lock, so no item can come in between.
    async fn try_finish(&self, status: &HeadStatus, tried: &Tried) -> Result<bool, Error> {
        let snapshot = self.snapshot();
        if !is_whole(&snapshot, &status.key, tried) {
            return Ok(false);
        }
        if status.promotes_itself {
            self.put_in_service(status, RequestId::none()).await?;
        } else {
            self.change_heads(HeadChange {
                heads: vec![(status.key.clone(), status.record(StoredState::Standby))],
                generation: snapshot.generation,
                ..HeadChange::default()
            })
            .await?;
            self.registry.apply(&status.key, HeadEvent::BackfillDone)?;
        }
        Ok(true)
    }

    /// Lets a version serve in the place of the one that does, in one step. The caller holds the writer's lock.
    async fn put_in_service(&self, status: &HeadStatus, request: RequestId) -> Result<HeadStatus, Error> {
        let snapshot = self.snapshot();
        let mut next = Snapshot::clone(&snapshot);
        if !next.activate(&status.key) {
            return Err(Error::Internal(format!("{} has no column", status.key)));
        }
        let mut promoted = status.clone();
        promoted.served_ms = now_ms();
        let mut heads = vec![(status.key.clone(), promoted.record(StoredState::Active))];
        let serving = snapshot.column(&status.name).and_then(|c| self.registry.of_key(c.key()));
        heads.extend(serving.iter().map(|s| (s.key.clone(), s.record(StoredState::Standby))));
        self.change_heads(HeadChange {
            heads,
            generation: next.generation,
            receipt: request.receipt(Outcome::Head(status.name.clone(), status.version)),
            ..HeadChange::default()
        })
        .await?;
        let generation = next.generation;
        self.publish(next);
        if let Some(serving) = serving {
            self.registry.apply(&serving.key, HeadEvent::Relieve)?;
        }
        if status.state == HeadState::Backfilling {
            self.registry.apply(&status.key, HeadEvent::BackfillDone)?;
        }
        tracing::info!(head = status.name, version = status.version, generation, "head in service");
        self.registry.apply(&status.key, HeadEvent::Promote)
    }

    /// Puts a version on standby in service; 0: the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it is not on standby.
    pub async fn promote_head(
        self: &Arc<Self>,
        name: String,
        version: u32,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.head_done_before(&request).await? {
                return Ok(done);
            }
            let model = core.model()?;
            let versions = core.registry.versions(&name)?;
            let waits = |s: &&HeadStatus| s.state == HeadState::Standby && s.is_on(model.fingerprint());
            let found = match version {
                0 => versions.iter().rfind(waits).cloned(),
                _ => Some(core.registry.get(&name, version)?),
            };
            match found {
                Some(status) if waits(&&status) => core.put_in_service(&status, request).await,
                Some(status) if status.state == HeadState::Active => Ok(status),
                Some(status) => Err(Error::Precondition {
                    reason: "NOT_ON_STANDBY",
                    message: match status.state {
                        HeadState::Standby => format!(
                            "version {version} of {name:?} belongs to another backbone; switch the generation instead"
                        ),
                        state => format!("version {version} of {name:?} is {}, not on standby", state.name()),
                    },
                }),
                None => Err(Error::Precondition {
                    reason: "NOT_ON_STANDBY",
                    message: format!("no version of {name:?} is on standby"),
                }),
            }
        })
        .await
    }

    /// Puts the version that served before back in service.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when there is none.
    pub async fn roll_back_head(
        self: &Arc<Self>,
        name: String,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.head_done_before(&request).await? {
                return Ok(done);
            }
            core.registry.get(&name, 0)?;
            let before = core.served_before(&name)?.ok_or_else(|| Error::Precondition {
                reason: "NOTHING_TO_ROLL_BACK",
                message: format!("no version of {name:?} that served before is still there"),
            })?;
            core.put_in_service(&before, request).await
        })
        .await
    }

    /// The version on standby that served last.
    fn served_before(&self, name: &str) -> Result<Option<HeadStatus>, Error> {
        let model = self.model()?;
        let served =
            |s: &HeadStatus| s.state == HeadState::Standby && s.served_ms > 0 && s.is_on(model.fingerprint());
        let versions = self.registry.versions(name)?.into_iter().filter(served);
        Ok(versions.max_by_key(|s| (s.served_ms, s.version)))
    }

    /// Ends a backfill and drops the version it was for.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when none is going on.
    pub async fn cancel_head(
        self: &Arc<Self>,
        name: String,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.head_done_before(&request).await? {
                return Ok(done);
            }
            let versions = core.registry.versions(&name)?;
            let running = versions.into_iter().find(|s| s.state == HeadState::Backfilling);
            let running = running.ok_or_else(|| Error::Precondition {
                reason: "NO_BACKFILL",
                message: format!("no backfill of {name:?} is going on"),
            })?;
            core.check_own_build(&running)?;
            core.retire(vec![running], request).await
        })
        .await
    }

    /// Takes a head out of service with all its versions, or drops one version, and deletes the data.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none or it is retired, [`Error::Precondition`] for the last active head, for
    /// the version that serves while others stand by, and for one of a generation that is being built.
    pub async fn retire_head(
        self: &Arc<Self>,
        name: String,
        version: u32,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        self.uninterrupted(move |core| async move {
            if let Some(done) = core.head_done_before(&request).await? {
                return Ok(done);
            }
            let mut going = core.registry.versions(&name)?;
            going.retain(|s| !matches!(s.state, HeadState::Retired | HeadState::Draining));
            let stays = |s: &HeadStatus| version != 0 && s.version != version;
            let others = going.iter().filter(|s| stays(s) && s.is_alive()).count();
            going.retain(|s| !stays(s));
            if version == 0 {
                // Versions on another backbone go with it.
                let model = core.model()?;
                going.retain(|s| s.is_on(model.fingerprint()) || !s.is_alive());
            }
            if going.is_empty() {
                return Err(Error::not_found("head in service", name));
            }
            going.iter().try_for_each(|status| core.check_own_build(status))?;
            if going.iter().any(|s| s.state == HeadState::Active) {
                if others > 0 {
                    return Err(Error::Precondition {
                        reason: "VERSION_SERVES",
                        message: format!(
                            "version {version} of {name:?} serves while others stand by; promote one of them, or \
                             retire the head with all its versions"
                        ),
                    });
                }
                if core.snapshot().columns().len() == 1 {
                    return Err(Error::Precondition {
                        reason: "LAST_HEAD",
                        message: format!("{name:?} is the last active head; register another one first"),
                    });
                }
            }
            core.retire(going, request).await
        })
        .await
    }

    /// Retires versions in one step. The caller holds the writer's lock.
    async fn retire(&self, going: Vec<HeadStatus>, request: RequestId) -> Result<HeadStatus, Error> {
        let Some(last) = going.last().cloned() else {
            return Err(Error::Internal("nothing to retire".into()));
        };
        let mut next = Snapshot::clone(&self.snapshot());
        for status in &going {
            status.state.next(HeadEvent::Retire).map_err(|e| Error::Internal(e.to_string()))?;
            next.drop_column(&status.key);
        }
        self.change_heads(HeadChange {
            heads: going.iter().map(|s| (s.key.clone(), s.record(StoredState::Retired))).collect(),
            generation: next.generation,
            receipt: request.receipt(Outcome::Head(last.name.clone(), last.version)),
            ..HeadChange::default()
        })
        .await?;
        self.publish(next);
        for status in &going {
            self.registry.apply(&status.key, HeadEvent::Retire)?;
        }
        self.drop_data(going.iter().map(|s| s.key.clone()).collect()).await;
        for status in &going {
            self.registry.apply(&status.key, HeadEvent::Drained)?;
        }
        self.registry.get(&last.name, last.version)
    }

    /// Turns a head that cannot go on into a failed one. Where the version before is still there, it serves again. Its
    /// bundle and its signatures are kept until it is retired: one fault must not delete what took hours to compute.
    pub(crate) async fn fail_head(&self, key: &str, reason: &str) {
        let _writer = self.writer.lock().await;
        let Some(status) = self.registry.of_key(key) else { return };
        if !status.is_alive() {
            return;
        }
        let mut next = Snapshot::clone(&self.snapshot());
        let mut heads = vec![(key.to_owned(), status.record(StoredState::Failed(reason.to_owned())))];
        let before =
            if status.state == HeadState::Active { self.served_before(&status.name) } else { Ok(None) };
        let before = before.ok().flatten();
        if let Some(before) = &before {
            next.activate(&before.key);
            heads.push((before.key.clone(), before.record(StoredState::Active)));
        }
        next.drop_column(key);
        let change = HeadChange { heads, generation: next.generation, ..HeadChange::default() };
        if let Err(error) = self.change_heads(change).await {
            // It fails again after the next start, if it still does.
            tracing::error!(head = status.name, %error, "a failed head cannot be recorded");
        }
        self.publish(next);
        if let Some(before) = &before {
            let _ = self.registry.apply(&before.key, HeadEvent::Promote);
            tracing::warn!(head = status.name, version = before.version, "the version before serves again");
        }
        let _ = self.registry.apply(key, HeadEvent::Fail(reason.to_owned()));
    }

    /// Makes a change of the set of heads durable. The caller holds the writer's lock.
    pub(super) async fn change_heads(&self, change: HeadChange) -> Result<(), Error> {
        self.check_open()?;
        let store = self.store.clone();
        Ok(tokio::task::spawn_blocking(move || store.change_heads(&change)).await??)
    }

    /// Data that cannot be deleted now is only wasted space: nothing reads it, and the next start deletes it.
    pub(super) async fn drop_data(&self, keys: Vec<String>) {
        let (store, owned) = (self.store.clone(), keys.clone());
        let outcome = tokio::task::spawn_blocking(move || store.drop_data(&owned)).await;
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::warn!(?keys, "the data of heads that are gone could not be deleted");
        }
    }
}
