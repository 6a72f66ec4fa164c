//! Receipts: what requests with an id led to, so that a repeated one is answered and not carried out again.

use super::sealed::{decode, encode};
use super::{ContentId, Outcome, RECEIPT_ORDER, RECEIPTS, Receipt, Store, StoreError, number, set_number};
use redb::{ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Kept {
    request: ContentId,
    outcome: Outcome,
}

/// Keeps a receipt in the transaction of what it is a receipt of; the oldest beyond `most` are forgotten.
pub(super) fn keep(transaction: &WriteTransaction, receipt: &Receipt, most: u64) -> Result<(), StoreError> {
    let number_now = number(transaction, "receipts")? + 1;
    set_number(transaction, "receipts", number_now)?;
    let mut receipts = transaction.open_table(RECEIPTS)?;
    let mut order = transaction.open_table(RECEIPT_ORDER)?;
    let id = receipt.request_id.as_str();
    let kept = Kept { request: receipt.request, outcome: receipt.outcome.clone() };
    receipts.insert(id, encode(RECEIPTS.name(), id, &kept).as_slice())?;
    let place = format!("{number_now:020}");
    order.insert(place.as_str(), encode(RECEIPT_ORDER.name(), &place, &id).as_slice())?;
    while order.len()? > most.max(1) {
        let Some((place, sealed)) = order.pop_first()? else { break };
        let id: String = decode(RECEIPT_ORDER.name(), place.value(), sealed.value())?;
        receipts.remove(id.as_str())?;
    }
    Ok(())
}

/// What the request with an id led to; `None` when it has not been carried out, or has no id.
pub(super) fn find(
    transaction: &WriteTransaction,
    request_id: &str,
    request: ContentId,
) -> Result<Option<Outcome>, StoreError> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let table = transaction.open_table(RECEIPTS)?;
    let found = table.get(request_id)?;
    found.map(|sealed| same(request_id, request, sealed.value())).transpose()
}

fn same(request_id: &str, request: ContentId, sealed: &[u8]) -> Result<Outcome, StoreError> {
    let kept: Kept = decode(RECEIPTS.name(), request_id, sealed)?;
    if kept.request == request { Ok(kept.outcome) } else { Err(StoreError::RequestId(request_id.to_owned())) }
}

impl Store {
    /// What the requests with these ids led to, in their order; `None` for one that has not been carried out, or has
    /// no id.
    ///
    /// # Errors
    /// The outer error: the database failed. The inner: [`StoreError::RequestId`], the id was used for another request.
    #[allow(clippy::type_complexity)]
    pub fn outcomes(
        &self,
        requests: &[(&str, ContentId)],
    ) -> Result<Vec<Result<Option<Outcome>, StoreError>>, StoreError> {
        if requests.iter().all(|(id, _)| id.is_empty()) {
            return Ok(requests.iter().map(|_| Ok(None)).collect());
        }
        self.read(|transaction| {
            let table = transaction.open_table(RECEIPTS)?;
            let one = |(id, request): &(&str, ContentId)| {
                let found = if id.is_empty() { None } else { table.get(*id)? };
                Ok(found.map(|sealed| same(id, *request, sealed.value())).transpose())
            };
            requests.iter().map(one).collect()
        })
    }
}
