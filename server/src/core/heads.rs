//! What callers ask of heads: registered, promoted, rolled back, cancelled, retired.

use super::Core;
use super::apply::Order;
use super::warm::warm;
use crate::error::Error;
use crate::life::{Change, HeadStatus, NewHead};
use crate::request::RequestId;
use crate::store::Outcome;
use lapel_heads::Head;
use std::sync::Arc;

/// How a bundle is registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whether it becomes the next version of a head of its name.
    pub update: bool,
    /// Whether it waits to be promoted once its backfill is done. An external head's update does so in any case where it has
    /// fewer signatures than the version that serves.
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
    /// it serves at once, or stands by, as an external head's update does that has fewer signatures than the version that
    /// serves. The same bundle again returns the version that is there.
    ///
    /// # Errors
    /// [`Error::Bundle`] for an unsound bundle, [`Error::Precondition`] for a slow one and one that is there with
    /// another `hold`, [`Error::Exists`] when its name or an attribute is taken, [`Error::Exhausted`] with too many heads.
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
        let Registration { update, hold, request } = registration;
        let new = NewHead { head, update, hold, heads_max: self.config.limits.heads_max };
        let order = Order { files: vec![bytes], ..Order::new(Change::Register(new), request) };
        self.change_head(order).await
    }

    /// Puts a version on standby in service; 0: the newest. One that is named and serves is returned unchanged.
    /// `allow_missing`: also one of which fewer items have a signature than of the one that serves.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it is not on standby, or lacks signatures.
    pub async fn promote_head(
        self: &Arc<Self>,
        name: String,
        version: u32,
        allow_missing: bool,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        let order = Order::new(Change::Promote { name, version }, request);
        self.change_head(Order { allow_missing, ..order }).await
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
        self.change_head(Order::new(Change::RollBack { name }, request)).await
    }

    /// Ends a backfill and drops the version it was for.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when none is going on, or it is part of a generation's.
    pub async fn cancel_head(
        self: &Arc<Self>,
        name: String,
        request: RequestId,
    ) -> Result<HeadStatus, Error> {
        self.change_head(Order::new(Change::Cancel { name }, request)).await
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
        self.change_head(Order::new(Change::Retire { name, version }, request)).await
    }

    /// The bundle of a version, as it was registered; `None` of one whose data is deleted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bundle(&self, status: &HeadStatus) -> Result<Option<Vec<u8>>, Error> {
        let (store, key) = (self.store.clone(), status.key.clone());
        Ok(tokio::task::spawn_blocking(move || store.bundle(&key)).await??)
    }

    /// Turns a head that cannot go on into a failed one. Where the version before is still there, it serves again. Its
    /// bundle and its signatures are kept until it is retired: one fault must not delete what took hours to compute.
    pub(crate) async fn fail_head(&self, key: &str, reason: &str) {
        // A key is never used again.
        self.apply_fault(Change::Fail { key: key.to_owned(), reason: reason.to_owned() }, || true).await;
    }

    async fn change_head(self: &Arc<Self>, order: Order) -> Result<HeadStatus, Error> {
        match self.request_change(order).await? {
            Some(Outcome::Head(name, version)) => self.registry.get(&name, version),
            other => Err(Error::Internal(format!("a change of a head led to {other:?}"))),
        }
    }
}
