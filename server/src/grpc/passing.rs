//! What is done with all items that pass a filter: they are counted, or deleted.

use super::outgoing::readable;
use super::{Services, convert, facets, filters, predicted};
use crate::core::{DeletedWhere, FIRST_IDS, RequestId, check_count};
use crate::error::{Error, Faults};
use lapel_proto::v1;
use lapel_search::Filter;
use roaring::RoaringBitmap;

impl Services {
    /// Counts the items that pass, and what is asked for among them.
    pub(super) async fn count_passing(
        &self,
        request: v1::CountItemsRequest,
    ) -> Result<v1::CountItemsResponse, Error> {
        let v1::CountItemsRequest { filter, facets: asked } = request;
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let core = self.core.clone();
        let counted = self.core.in_turn(move |is_abandoned| {
            let mut faults = Faults::default();
            let filter = filters::filter(&snapshot, &core.config, Vec::new(), filter, &mut faults);
            let asked = facets::requests(&snapshot, &core.config, "facets", asked, &mut faults);
            faults.end()?;
            let items = snapshot.items();
            let passing = items.passing(&filter);
            let counter = items.facets(passing.as_ref());
            let mut told = Vec::with_capacity(asked.len());
            for (of, values_max) in &asked {
                if is_abandoned() {
                    return Err(Error::Left);
                }
                told.push(facets::answer(of, counter.count(of, *values_max)));
            }
            let items_total = items.len() as u64;
            let items = passing.as_ref().map_or(items_total, RoaringBitmap::len);
            let answer = v1::CountItemsResponse { items, facets: told, items_total };
            readable(answer, || "ask for fewer facets, or for fewer values of each".to_owned())
        });
        counted.await?
    }

    /// Deletes the items that pass, or says which they would be.
    pub(super) async fn delete_passing(
        &self,
        request: v1::DeleteItemsByFilterRequest,
    ) -> Result<v1::DeleteItemsByFilterResponse, Error> {
        let mut faults = Faults::default();
        let id = convert::request_id("DeleteItemsByFilter", &request.request_id, &request);
        let id = faults.gather("request_id", id)?.unwrap_or_else(RequestId::none);
        let v1::DeleteItemsByFilterRequest { filter, dry_run, expected_items, request_id } = request;
        if dry_run && !request_id.is_empty() {
            faults.refuse("request_id", "a dry run changes nothing, and takes no id");
        }
        // What the filter of a repeated request names may have gone with its items.
        if faults.all().is_empty()
            && !dry_run
            && let Some(deleted) = self.core.deleted_before(&id).await?
        {
            return Ok(answer(deleted));
        }
        let snapshot = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let (core, generation) = (self.core.clone(), snapshot.generation);
        let looked_up = self.core.in_turn(move |is_abandoned| {
            if filter.is_none() {
                faults.refuse("filter", "it is not set; say which items go");
            }
            let filter = filters::filter(&snapshot, &core.config, Vec::new(), filter, &mut faults);
            if faults.all().is_empty() && passes_all(&filter) {
                faults.refuse("filter", "every item of every catalogue passes it; say which items go");
            }
            faults.end()?;
            if !dry_run {
                return Ok((filter, None));
            }
            let items = snapshot.items();
            let passing = items.count(&filter);
            check_count(passing, expected_items, core.config.limits.delete_items_max)?;
            let first = items.list(&filter, "", FIRST_IDS, is_abandoned).into_iter();
            let first_ids = first.map(|item| item.id.to_string()).collect();
            Ok::<_, Error>((filter, Some(DeletedWhere { items: passing, first_ids })))
        });
        match looked_up.await?? {
            (_, Some(would)) => Ok(answer(would)),
            (filter, None) => {
                Ok(answer(self.core.delete_where((filter, generation), expected_items, id).await?))
            }
        }
    }
}

fn answer(deleted: DeletedWhere) -> v1::DeleteItemsByFilterResponse {
    let DeletedWhere { items, first_ids } = deleted;
    v1::DeleteItemsByFilterResponse { items, first_ids }
}

/// Whether every item of every catalogue passes, for want of conditions.
fn passes_all(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) => filters.iter().all(passes_all),
        Filter::Any(filters) => filters.iter().any(passes_all),
        Filter::None(filters) => filters.iter().all(passes_none),
        Filter::Label { .. }
        | Filter::HasLabel { .. }
        | Filter::Field { .. }
        | Filter::Range { .. }
        | Filter::HasField { .. }
        | Filter::Predicted { .. }
        | Filter::Id { .. } => false,
    }
}

/// Whether no item of any catalogue passes, for want of conditions.
fn passes_none(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) => filters.iter().any(passes_none),
        Filter::Any(filters) => filters.iter().all(passes_none),
        Filter::None(filters) => filters.iter().any(passes_all),
        Filter::Label { .. }
        | Filter::HasLabel { .. }
        | Filter::Field { .. }
        | Filter::Range { .. }
        | Filter::HasField { .. }
        | Filter::Predicted { .. }
        | Filter::Id { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_without_conditions_is_told_from_one_that_has_some() {
        let leaf = || Filter::HasField { field: "price".into() };
        let (nothing, everything) = (|| Filter::Any(Vec::new()), || Filter::All(Vec::new()));
        let all = [
            everything(),
            Filter::None(Vec::new()),
            Filter::All(vec![everything(), Filter::None(vec![nothing()])]),
            Filter::Any(vec![leaf(), everything()]),
            Filter::None(vec![Filter::All(vec![leaf(), nothing()])]),
            Filter::None(vec![Filter::None(vec![everything()])]),
        ];
        for filter in all {
            assert!(passes_all(&filter), "{filter:?}");
        }
        let some = [
            leaf(),
            nothing(),
            Filter::All(vec![everything(), leaf()]),
            Filter::Any(vec![leaf()]),
            Filter::None(vec![leaf()]),
            Filter::None(vec![Filter::Any(vec![nothing(), leaf()])]),
        ];
        for filter in some {
            assert!(!passes_all(&filter), "{filter:?}");
        }
    }
}
