//! The labels that there are of an attribute: those of its head, and those that items carry.

use anyhow::{Context, anyhow};
use lapel_client::{Client, v1};
use lapel_wardrobe::nearest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Labels that a fault lists of those there are.
const NAMED_MAX: usize = 20;
/// Heads a page.
const PAGE: u32 = 1000;

/// The labels of an attribute.
pub(super) struct Known {
    pub(super) attribute: String,
    head: String,
    /// Those of the version that serves.
    pub(super) served: Vec<String>,
    /// Those of items, with how many carry each.
    pub(super) carried: BTreeMap<String, u64>,
}

impl Known {
    pub(super) async fn read(client: &mut Client, attribute: &str) -> anyhow::Result<Self> {
        let answer = client.labels(attribute).await?;
        let told = answer.attributes.into_iter().find(|told| told.attribute == attribute);
        let v1::AttributeLabels { attribute, head, labels } =
            told.with_context(|| format!("no head in service has the attribute {attribute:?}"))?;
        let mut stats = client.stats().await?;
        let carried = stats.labels.remove(&attribute).unwrap_or_default().counts;
        let served = labels.into_iter().map(|label| label.label).collect();
        Ok(Self { attribute, head, served, carried })
    }

    /// Refuses labels that neither a version of the head nor an item has: they are misspelt.
    pub(super) async fn ensure_has(&self, client: &mut Client, labels: &[&str]) -> anyhow::Result<()> {
        let has =
            |label: &str| self.carried.contains_key(label) || self.served.iter().any(|own| own == label);
        let unknown: Vec<&str> = labels.iter().copied().filter(|label| !has(label)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        // A change that is repeated once all of it is done is of labels that only the version before has.
        let others = self.on_standby(client).await?;
        let misspelt = unknown.into_iter().find(|label| !others.iter().any(|other| other == label));
        misspelt.map_or(Ok(()), |label| Err(self.fault(label)))
    }

    fn fault(&self, label: &str) -> anyhow::Error {
        let names: BTreeSet<&str> =
            self.served.iter().chain(self.carried.keys()).map(String::as_str).collect();
        let meant = nearest(label, names.iter().copied()).map(|meant| format!(" did you mean {meant:?}?"));
        let more = names.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let listed: Vec<&str> = names.into_iter().take(NAMED_MAX).collect();
        anyhow!(
            "nothing was changed: neither the head of {} nor an item has the label {label:?};{} there are: {}{more}",
            self.attribute,
            meant.unwrap_or_default(),
            listed.join(", ")
        )
    }

    /// The attribute's labels in the versions of its head that are on standby. Only their bundles tell them.
    async fn on_standby(&self, client: &mut Client) -> anyhow::Result<Vec<String>> {
        let (mut labels, mut page_token) = (Vec::new(), String::new());
        loop {
            let state = v1::HeadState::Standby.into();
            let request = v1::ListHeadsRequest { page_size: PAGE, page_token, state };
            let page = client.heads.list_heads(request).await?.into_inner();
            for head in page.heads.into_iter().filter(|head| head.name == self.head) {
                let (_, bundle) = client.bundle(&head.name, head.version).await?;
                labels.extend(labels_of(&bundle, &self.attribute).unwrap_or_default());
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(labels);
            }
        }
    }
}

/// The labels of an attribute by a bundle's manifest; docs/bundle.md has the format. `None` where it has no such attribute.
fn labels_of(bundle: &[u8], attribute: &str) -> Option<Vec<String>> {
    let (length, rest) = bundle.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let manifest = header.get("__metadata__")?.get("lapel.manifest")?.as_str()?;
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let is_own = |of: &&Value| of.get("name").and_then(Value::as_str) == Some(attribute);
    let own = manifest.get("attributes")?.as_array()?.iter().find(is_own)?;
    own.get("labels")?.as_array()?.iter().map(|label| label.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_not_there_is_told_with_those_that_are() {
        let known = Known {
            attribute: "color".into(),
            head: "color".into(),
            served: vec!["gray".into(), "red".into()],
            carried: [("blue".to_owned(), 2)].into(),
        };
        let told = known.fault("gryy").to_string();
        assert!(told.contains("did you mean \"gray\"? there are: blue, gray, red"), "{told}");
    }

    #[test]
    fn a_bundle_tells_its_labels() {
        let manifest = serde_json::json!({ "attributes": [{ "name": "mood", "labels": ["calm", "loud"] }] });
        let metadata = serde_json::json!({ "lapel.manifest": manifest.to_string() });
        let header = serde_json::json!({ "__metadata__": metadata }).to_string();
        let bundle = [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), b"tensors"].concat();
        assert_eq!(labels_of(&bundle, "mood"), Some(vec!["calm".to_owned(), "loud".to_owned()]));
        assert_eq!(labels_of(&bundle, "color"), None);
        assert_eq!(labels_of(&bundle[..20], "mood"), None);
    }
}
