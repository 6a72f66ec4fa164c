//! What callers ask of generations with a backbone of their own: built beside the one that serves, switched, dropped.

use super::Core;
use super::apply::Order;
use super::warm::warm;
use crate::error::Error;
use crate::life::{Change, HeadStatus, ModelStatus, Models, NewModel};
use crate::model::Model;
use crate::request::RequestId;
use crate::store::Outcome;
use lapel_heads::Head;
use std::collections::HashSet;
use std::sync::Arc;

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

/// What the files hold; what is wrong with them is told at `field`.
fn check(
    files: &GenerationFiles,
    field: &str,
    slowest_ms: u64,
) -> Result<(Arc<Model>, Vec<Arc<Head>>), Error> {
    let model = Arc::new(Model::from_bytes(&files.backbone, &files.extract_parts)?);
    let (mut names, mut attributes) = (HashSet::new(), HashSet::new());
    let mut heads = Vec::with_capacity(files.heads.len());
    for bytes in &files.heads {
        let head = Head::from_bytes(bytes, model.backbone())?;
        if !head.has_network() {
            let wanted =
                format!("head {:?} is external; external heads serve with every backbone", head.name());
            return Err(Error::invalid(field, wanted));
        }
        if !names.insert(head.name().to_owned()) {
            return Err(Error::invalid(field, format!("head {:?} is given twice", head.name())));
        }
        if let Some(twice) = head.manifest().attributes.iter().find(|a| !attributes.insert(a.name.clone())) {
            let wanted = format!("attribute {:?} is told apart by two of the heads", twice.name);
            return Err(Error::invalid(field, wanted));
        }
        warm(&model, &head, slowest_ms)?;
        heads.push(Arc::new(head));
    }
    if heads.is_empty() {
        return Err(Error::invalid(field, "a generation needs at least one head"));
    }
    Ok((model, heads))
}

impl Core {
    /// All models, by fingerprint.
    #[must_use]
    pub fn models(&self) -> Models {
        self.registry.models()
    }

    /// A model as it is now; an empty fingerprint means the newest of those that do not serve.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Precondition`] for an empty fingerprint where there is but the one that serves.
    pub fn model_status(&self, fingerprint: &str) -> Result<ModelStatus, Error> {
        Ok(self.registry.life().model(fingerprint)?.clone())
    }

    /// The heads of a model, by name and version.
    #[must_use]
    pub fn heads_of_model(&self, fingerprint: &str) -> Vec<HeadStatus> {
        self.registry.life().heads_of_model(fingerprint).cloned().collect()
    }

    /// Stores a backbone with its heads and starts to compute their signatures. The same files again return what is
    /// there. `field` is the path of the files in the caller's request.
    ///
    /// # Errors
    /// [`Error`], by what is wrong with the files; [`Error::Exists`] when the backbone is there with other files;
    /// [`Error::Precondition`] when another generation waits, or this one is there with another `hold`.
    pub async fn build_generation(
        self: &Arc<Self>,
        (files, field): (GenerationFiles, &'static str),
        hold: bool,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        let slowest_ms = self.config.limits.head_ms_max;
        let (files, model, heads) = tokio::task::spawn_blocking(move || {
            let (model, heads) = check(&files, field, slowest_ms)?;
            Ok::<_, Error>((files, model, heads))
        })
        .await??;
        let GenerationFiles { backbone, extract_parts, heads: bundles } = files;
        let new = NewModel { fingerprint: model.fingerprint().to_owned(), heads, hold };
        self.change_model(Order {
            change: Change::RegisterModel(new),
            request,
            files: bundles.into_iter().chain([backbone, extract_parts]).collect(),
            model: Some(model),
            allow_missing: true,
        })
        .await
    }

    /// Puts the model on standby in service with its heads; the one that serves goes on standby with its own. One that is
    /// named and serves is returned unchanged.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it is not on standby.
    pub async fn switch_generation(
        self: &Arc<Self>,
        fingerprint: String,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        self.change_model(Order::new(Change::Switch { fingerprint }, request)).await
    }

    /// Drops a model that does not serve, with its heads and their data, that of heads which had failed included.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::Precondition`] when it serves.
    pub async fn drop_generation(
        self: &Arc<Self>,
        fingerprint: String,
        request: RequestId,
    ) -> Result<ModelStatus, Error> {
        self.change_model(Order::new(Change::DropModel { fingerprint }, request)).await
    }

    /// Turns a model that cannot be built into a failed one, if it is still the build that failed; queries never saw it.
    pub(crate) async fn fail_model(
        &self,
        fingerprint: &str,
        reason: &str,
        is_same_build: impl FnOnce() -> bool,
    ) {
        let (fingerprint, reason) = (fingerprint.to_owned(), reason.to_owned());
        self.apply_fault(Change::FailModel { fingerprint, reason }, is_same_build).await;
    }

    async fn change_model(self: &Arc<Self>, order: Order) -> Result<ModelStatus, Error> {
        match self.request_change(order).await? {
            Some(Outcome::Model(fingerprint)) => self.model_status(&fingerprint),
            other => Err(Error::Internal(format!("a change of a model led to {other:?}"))),
        }
    }
}
