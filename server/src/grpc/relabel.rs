//! What `HeadService` is asked about changed labels.

use super::{Services, convert};
use crate::core::RequestId;
use crate::core::relabel::Relabelling;
use crate::error::{Error, Faults, within};
use lapel_heads::LabelChange;
use lapel_proto::v1;
use lapel_proto::v1::label_change::Change;

/// Bytes of a caller's name that are said again.
const NAME_BYTES: usize = 100;

impl Services {
    /// Changes labels of an attribute, and counts the items that carry them.
    pub(super) async fn relabel(
        &self,
        message: v1::ChangeLabelsRequest,
    ) -> Result<v1::ChangeLabelsResponse, Error> {
        let relabelling = asked(message)?;
        let attribute = relabelling.attribute.clone();
        let changed: Vec<(String, String)> = relabelling.changes.iter().flat_map(new_labels).collect();
        let status = self.core.change_labels(relabelling).await?;
        let snapshot = self.core.snapshot();
        let items = |label: &str| {
            let items = snapshot.items().with_label(&attribute, label);
            items.map_or(0, roaring::RoaringBitmap::len)
        };
        let told = |(label, new_label): (String, String)| v1::ChangedLabel {
            items: items(&label),
            label,
            new_label,
        };
        let labels = changed.into_iter().map(told).collect();
        Ok(v1::ChangeLabelsResponse { head: Some(convert::head(&status)), labels })
    }
}

/// What is asked, with all faults that show without the head.
fn asked(message: v1::ChangeLabelsRequest) -> Result<Relabelling, Error> {
    let mut faults = Faults::default();
    let request = convert::request_id("ChangeLabels", &message.request_id, &message);
    let request = faults.gather("request_id", request)?.unwrap_or_else(RequestId::none);
    let v1::ChangeLabelsRequest { attribute, changes: given, hold, request_id: _ } = message;
    let mut changes = Vec::with_capacity(given.len());
    for (at, v1::LabelChange { change }) in given.into_iter().enumerate() {
        changes.push(match change {
            Some(Change::Rename(v1::LabelRename { from, to })) => LabelChange::Rename { from, to },
            Some(Change::Merge(v1::LabelMerge { from, into })) => LabelChange::Merge { from, into },
            Some(Change::Retire(label)) => LabelChange::Retire { label },
            Some(Change::Split(v1::LabelSplit { from, into: _ })) => {
                faults.unmet(format!("changes[{at}].split"), cannot_split(&from, &attribute));
                continue;
            }
            None => {
                faults.refuse(format!("changes[{at}]"), "set one of rename, merge, retire and split");
                continue;
            }
        });
    }
    faults.end()?;
    Ok(Relabelling { attribute, changes, hold, request })
}

fn cannot_split(label: &str, attribute: &str) -> Error {
    let (label, attribute) = (within(label, NAME_BYTES), within(attribute, NAME_BYTES));
    let message = format!(
        "what tells the parts of {label:?} apart must be learnt: label examples of each, and teach the next version of \
         {attribute:?} (Teach with `update`, `lapel teach {attribute} --update`)"
    );
    Error::Precondition { reason: "CANNOT_SPLIT", message }
}

/// The labels that a change is of, each with the one in its place.
fn new_labels(change: &LabelChange) -> Vec<(String, String)> {
    match change {
        LabelChange::Rename { from, to } => vec![(from.clone(), to.clone())],
        LabelChange::Merge { from, into } => from.iter().map(|from| (from.clone(), into.clone())).collect(),
        LabelChange::Retire { label } => vec![(label.clone(), String::new())],
    }
}
