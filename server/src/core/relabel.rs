//! Labels of an attribute are renamed, merged and retired without training: the bundle that serves is changed, and registered
//! like any other.

use super::{Core, Registration};
use crate::error::{Choices, Error, Faults};
use crate::life::HeadStatus;
use crate::request::RequestId;
use crate::store::Outcome;
use lapel_heads::{Bundle, HeadKind, LabelChange, LabelFault, RelabelError, relabel};
use std::sync::Arc;

/// Changes of an attribute's labels.
pub(crate) struct Relabelling {
    /// The attribute.
    pub(crate) attribute: String,
    /// The changes, in the order of the request.
    pub(crate) changes: Vec<LabelChange>,
    /// Whether the next version waits to be promoted.
    pub(crate) hold: bool,
    /// The request.
    pub(crate) request: RequestId,
}

impl Core {
    /// Registers the next version of the head that tells an attribute apart, with other labels.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no active head has the attribute, [`Error::Invalid`] with all faults of the changes,
    /// [`Error::Precondition`] for a head whose labels cannot be changed; what `register_head` says.
    pub(crate) async fn change_labels(
        self: &Arc<Self>,
        relabelling: Relabelling,
    ) -> Result<HeadStatus, Error> {
        let Relabelling { attribute, changes, hold, request } = relabelling;
        // The version that serves may have the new labels since.
        if let Some(before) = self.relabelled_before(&request).await? {
            return Ok(before);
        }
        let status = self.version_of_attribute(&attribute)?;
        // One at a time is in memory that nobody is known to have room for.
        let _reading = self.reading_bundle.lock().await;
        let gone = || Error::not_found("bundle", format!("{} (version {})", status.name, status.version));
        let bundle = self.bundle(&status).await?.ok_or_else(gone)?;
        let next = tokio::task::spawn_blocking(move || relabelled(&bundle, &attribute, &changes, hold));
        self.register_head(next.await??, Registration { update: true, hold, request }).await
    }

    /// What an earlier request of this id led to.
    async fn relabelled_before(&self, request: &RequestId) -> Result<Option<HeadStatus>, Error> {
        if request.id.is_empty() {
            return Ok(None);
        }
        match self.outcome(request).await? {
            Some(Outcome::Head(name, version)) => Ok(Some(self.registry.get(&name, version)?)),
            Some(other) => Err(Error::Internal(format!("a change of labels led to {other:?}"))),
            None => Ok(None),
        }
    }

    /// The version that serves of the head that tells an attribute apart.
    fn version_of_attribute(&self, attribute: &str) -> Result<HeadStatus, Error> {
        let snapshot = self.snapshot();
        let Some(column) = snapshot.column_of_attribute(attribute) else {
            let attributes = snapshot.columns().iter().flat_map(|c| &c.head().manifest().attributes);
            let valid = Choices::of(attribute, attributes.map(|a| a.name.as_str()));
            return Err(Error::NotFound { what: "attribute in service", name: attribute.to_owned(), valid });
        };
        let retired = || Error::not_found("head", column.head().name());
        self.registry.of_key(column.key()).ok_or_else(retired)
    }
}

/// The file of the next version.
fn relabelled(bundle: &[u8], attribute: &str, changes: &[LabelChange], hold: bool) -> Result<Vec<u8>, Error> {
    let next = relabel(&Bundle::parse(bundle)?, attribute, changes).map_err(refusal)?;
    if next.manifest.kind == HeadKind::External && !hold {
        return Err(needs_signatures(&next.manifest.name));
    }
    Ok(next.to_bytes()?)
}

fn refusal(error: RelabelError) -> Error {
    match error {
        RelabelError::Attribute(name) => Error::not_found("attribute", name),
        RelabelError::Layer => Error::Precondition {
            reason: "CANNOT_CHANGE_LABELS",
            message: "the head's signature is the output of a layer, which was trained with these labels; teach a head of \
                      the attribute (`lapel teach`), or train it again with `lapel-train`"
                .into(),
        },
        RelabelError::Graph => Error::Precondition {
            reason: "CANNOT_CHANGE_LABELS",
            message: "the head is an ONNX graph: its labels can be renamed and merged, but none retired; export it without \
                      the label and register it again"
                .into(),
        },
        RelabelError::Tensors => Error::Internal(error.to_string()),
        RelabelError::Changes(faults) => {
            let mut all = Faults::default();
            for LabelFault { change, field, description } in faults {
                let path = match change {
                    Some(at) => format!("changes[{at}].{field}"),
                    None => "changes".to_owned(),
                };
                all.refuse(path, description);
            }
            all.end().err().unwrap_or_else(|| Error::Internal("changes were refused without a fault".into()))
        }
    }
}

/// An external head's next version would serve without any signature.
fn needs_signatures(name: &str) -> Error {
    let message = format!(
        "the signatures of {name:?} come with the items, and its next version has none yet: set `hold` (`--hold`), give them to \
         `{name}@VERSION`, and promote it"
    );
    Error::Precondition { reason: "EXTERNAL_SIGNATURES", message }
}
