//! Versions of heads that answer one request in place of those that serve.

use super::Core;
use super::predict::items_at_once;
use crate::catalogue::Snapshot;
use crate::error::{Error, Faults};
use crate::life::{HeadState, Life, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Core {
    /// The state as a request sees it that wants these versions of heads, by name, in place of those that serve: with the
    /// predictions of these attributes, and of the same generation. Without versions it is the state itself.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::UnknownVersion`] for what is not there, [`Error::Precondition`] for a version that
    /// neither serves nor stands by.
    pub(crate) async fn with_versions(
        &self,
        snapshot: &Arc<Snapshot>,
        versions: &BTreeMap<String, u32>,
        attributes: &BTreeSet<String>,
    ) -> Result<Arc<Snapshot>, Error> {
        if versions.is_empty() {
            return Ok(snapshot.clone());
        }
        let (life, mut faults) = (self.registry.life(), Faults::default());
        let mut keys = Vec::with_capacity(versions.len());
        for (name, version) in versions {
            let field = format!("head_versions[{name}]");
            let key = key_of_version(snapshot, &life, (name, *version), &field);
            keys.extend(faults.gather(&field, key)?);
        }
        faults.end()?;
        let mut view = snapshot.with_versions(&keys);
        let is_lacking = |attribute: &&String| view.lacks_predictions(attribute);
        let lacking: Vec<String> = attributes.iter().filter(is_lacking).cloned().collect();
        if lacking.is_empty() {
            return Ok(Arc::new(view));
        }
        // What another version sees is kept for this request alone: it is of no use to those that follow.
        let seen = self.in_turn(move |is_abandoned| {
            for attribute in &lacking {
                while view.lacks_predictions(attribute) && !is_abandoned() {
                    let most = items_at_once(view.predicting(attribute));
                    view.predict(attribute, most);
                }
            }
            view
        });
        Ok(Arc::new(seen.await?))
    }
}

/// The key of the column of a version that may answer.
fn key_of_version(
    snapshot: &Snapshot,
    life: &Life,
    (name, version): (&str, u32),
    field: &str,
) -> Result<String, Error> {
    if version == 0 {
        return Err(Error::invalid(
            field,
            "versions count from 1; leave the head out for the one that serves",
        ));
    }
    let status = life.get(name, version)?;
    if !matches!(status.state, HeadState::Active | HeadState::Standby) {
        let state = status.state.name();
        return Err(Refusal::NotOnStandby { name: name.to_owned(), version, state }.into());
    }
    if !snapshot.model().is_some_and(|model| status.is_on(model.fingerprint())) {
        return Err(Refusal::OnOtherBackbone { name: name.to_owned(), version }.into());
    }
    // It may have come since the snapshot was taken.
    let column = snapshot.column_of_key(&status.key);
    let column = column.ok_or_else(|| Error::not_found("version of a head", format!("{name}@{version}")))?;
    Ok(column.key().to_string())
}
