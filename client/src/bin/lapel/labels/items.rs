//! The labels of items: how many a change is of, a table of what they were, and what they become.

use super::{Known, Moved};
use crate::shell::word;
use crate::upload::{Draft, Purpose, Upload};
use crate::{cells, consent, output};
use anyhow::{bail, ensure};
use lapel_client::{Client, v1};
use prost_types::FieldMask;
use std::path::Path;

/// Items a page of those that carry a label.
const PAGE: u32 = 1000;

/// Refuses a file that what items had cannot be written to, before anything is changed.
pub(super) fn ensure_writable(file: &Path, attribute: &str) -> anyhow::Result<()> {
    let told = file.display();
    // Labels that an earlier run saved are not to be lost.
    ensure!(!file.exists(), "{told} is there, perhaps with labels in it; name another file");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(folder.is_none_or(Path::is_dir), "the folder of {told} is not there");
    cells::ensure_column(attribute)
}

/// Says how many items carry labels that change, where any does, and asks whether to go on. An error where not.
pub(super) fn agree(
    known: &Known,
    moved: &[Moved<'_>],
    yes: bool,
    backup: Option<&Path>,
) -> anyhow::Result<()> {
    let Some(what) = at_stake(known, moved, backup) else { return Ok(()) };
    if yes {
        output::note(what);
    } else if !consent::agrees(&what, "Change them?", "--yes to change them")? {
        bail!("nothing was changed");
    }
    Ok(())
}

/// Which labels of items change, in words; `None` where no item carries any.
fn at_stake(known: &Known, moved: &[Moved<'_>], backup: Option<&Path>) -> Option<String> {
    let of = |label: &str| known.carried.get(label).copied().unwrap_or_default();
    let items: u64 = moved.iter().map(|(label, _)| of(label)).sum();
    let labels: Vec<String> = moved.iter().map(|(label, _)| format!("{label} {}", of(label))).collect();
    let kept = match backup {
        Some(file) => format!("{} is to keep them", file.display()),
        None => "--backup FILE keeps them in a table".to_owned(),
    };
    (items > 0).then(|| {
        format!(
            "{items} items carry labels of {} that change ({}); `lapel heads rollback` does not give items theirs back, {kept}",
            known.attribute,
            labels.join(", ")
        )
    })
}

/// Writes what items carry to the table `backup`, and then the new labels of items that carry old ones, and nothing else of
/// them. Gives the upload with how it ended.
pub(super) async fn relabel<'a>(
    client: &'a mut Client,
    attribute: &str,
    moved: &[Moved<'_>],
    backup: Option<&Path>,
) -> anyhow::Result<(Upload<'a>, anyhow::Result<()>)> {
    let (mut drafts, mut rows) = (Vec::new(), String::new());
    // Before anything is written: a written item leaves the pages of those that carry the label.
    for (label, new_label) in moved {
        let labels = new_label.map(|new| (attribute.to_owned(), new.to_owned()));
        for id in carriers(client, attribute, label).await? {
            rows += &format!("{},{}\n", cells::quoted(&id), cells::quoted(label));
            let item = v1::UpsertItemsRequest {
                id,
                labels: labels.clone().into_iter().collect(),
                update_mask: Some(FieldMask { paths: vec![format!("labels.{attribute}")] }),
                ..v1::UpsertItemsRequest::default()
            };
            drafts.push(Draft { item, images: Vec::new() });
        }
    }
    if let Some(file) = backup.filter(|_| !drafts.is_empty()) {
        fs_err::write(file, format!("id,{}\n{rows}", cells::quoted(attribute)))?;
        let file = word(&file.display().to_string());
        output::note(format!(
            "wrote {file}; `lapel items update {file} --merge` gives items their labels back, after a roll-back of the head"
        ));
    }
    let mut upload = Upload::new(client, Purpose::Update, None, drafts.len())?;
    let sent = send(&mut upload, drafts).await;
    Ok((upload, sent))
}

async fn send(upload: &mut Upload<'_>, drafts: Vec<Draft>) -> anyhow::Result<()> {
    for draft in drafts {
        upload.add(draft).await?;
    }
    upload.flush().await
}

/// Ids of the items that carry a label.
async fn carriers(client: &mut Client, attribute: &str, label: &str) -> anyhow::Result<Vec<String>> {
    let filter = v1::LabelFilter {
        attribute: attribute.to_owned(),
        labels: vec![label.to_owned()],
        // No item may carry it, and the head that serves has it no more.
        allow_unknown: true,
        exists: None,
    };
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v1::ListItemsRequest { page_size: PAGE, page_token, filters: vec![filter.clone()], filter: None };
        let page = client.catalog.list_items(request).await?.into_inner();
        ids.extend(page.items.into_iter().map(|item| item.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(ids);
        }
    }
}
