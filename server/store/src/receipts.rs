//! Receipts: what requests with an id led to, so that a repeated one is answered and not carried out again.

use super::formats::four::Kept;
use super::sealed::{decode, encode};
use super::{Outcome, RECEIPT_ORDER, RECEIPTS, Receipt, RequestHash, Store, StoreError};
use redb::{ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction};

/// Keeps receipts in the transaction of what they are receipts of; the oldest beyond `most` are forgotten.
pub(super) fn keep(
    transaction: &WriteTransaction,
    receipts: &[Receipt],
    most: u64,
) -> Result<(), StoreError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(RECEIPTS)?;
    let mut order = transaction.open_table(RECEIPT_ORDER)?;
    let last = order.last()?.and_then(|(place, _)| place.value().parse::<u64>().ok());
    for (place, receipt) in (last.unwrap_or(0) + 1..).zip(receipts) {
        let id = receipt.request_id.as_str();
        let outcome = receipt.outcome.clone();
        let kept = Kept { request: receipt.request.request, names_method: true, outcome };
        table.insert(id, encode(RECEIPTS.name(), id, &kept).as_slice())?;
        let place = format!("{place:020}");
        order.insert(place.as_str(), encode(RECEIPT_ORDER.name(), &place, &id).as_slice())?;
        // One after the other: an id that is kept anew must not go with its older place.
        while order.len()? > most.max(1) {
            let Some((place, sealed)) = order.pop_first()? else { break };
            // Where it cannot be read its receipt stays, which is better than no receipt any more for anybody.
            match decode::<String>(RECEIPT_ORDER.name(), place.value(), sealed.value()) {
                Ok(id) => {
                    table.remove(id.as_str())?;
                }
                Err(error) => tracing::error!(%error, "a receipt is kept for good"),
            }
        }
    }
    Ok(())
}

/// What the request with an id led to; `None` when it has not been carried out, or has no id.
pub(super) fn find(
    transaction: &WriteTransaction,
    request_id: &str,
    request: RequestHash,
) -> Result<Option<Outcome>, StoreError> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let table = transaction.open_table(RECEIPTS)?;
    let found = table.get(request_id)?;
    found.map(|sealed| same(request_id, request, sealed.value())).transpose()
}

fn same(request_id: &str, request: RequestHash, sealed: &[u8]) -> Result<Outcome, StoreError> {
    let kept: Kept = decode(RECEIPTS.name(), request_id, sealed)?;
    let is_same = kept.request == request.request || (!kept.names_method && kept.request == request.message);
    if is_same { Ok(kept.outcome) } else { Err(StoreError::RequestId(request_id.to_owned())) }
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
        requests: &[(&str, RequestHash)],
    ) -> Result<Vec<Result<Option<Outcome>, StoreError>>, StoreError> {
        if requests.iter().all(|(id, _)| id.is_empty()) {
            return Ok(requests.iter().map(|_| Ok(None)).collect());
        }
        self.read(|transaction| {
            let table = transaction.open_table(RECEIPTS)?;
            let one = |(id, request): &(&str, RequestHash)| {
                let found = if id.is_empty() { None } else { table.get(*id)? };
                Ok(found.map(|sealed| same(id, *request, sealed.value())).transpose())
            };
            requests.iter().map(one).collect()
        })
    }
}
