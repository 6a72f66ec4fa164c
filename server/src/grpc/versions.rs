//! The versions of heads that requests ask for (`head_versions`), and searches on them, alone and in batches.

use super::asked::check_page;
use super::{Services, predicted};
use crate::catalogue::Snapshot;
use crate::error::Error;
use crate::front::Caller;
use crate::search::{QueryView, SearchAnswer, SearchSpec};
use lapel_proto::v1;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A search that is ready to run, with the state that it runs on.
pub(super) type Ready = (Arc<Snapshot>, QueryView, SearchSpec);
/// What a search found, with the state that it ran on.
pub(super) type Found = (Arc<Snapshot>, SearchAnswer);

/// Searches of a batch on one state, with their places in it.
struct Group {
    snapshot: Arc<Snapshot>,
    places: Vec<usize>,
    queries: Vec<(QueryView, SearchSpec)>,
}

impl Services {
    /// The state in which the versions that a request asks for stand in for those that serve.
    ///
    /// # Errors
    /// The faults of `head_versions`.
    pub(super) async fn viewed(
        &self,
        snapshot: &Arc<Snapshot>,
        versions: &BTreeMap<String, u32>,
        filter: Option<&v1::Filter>,
    ) -> Result<Arc<Snapshot>, Error> {
        let (count, most) = (versions.len(), self.core.config.limits.query_terms_max);
        if count > most {
            let given = format!("there are {count}; at most {most} are accepted");
            return Err(Error::invalid("head_versions", given));
        }
        self.core.with_versions(snapshot, versions, &predicted::attributes(filter)).await
    }

    /// A search of a state that is ready to run on the versions that it asks for.
    ///
    /// # Errors
    /// The faults of `head_versions` alone, since all else is checked with those versions; or those of [`Services::ready`].
    pub(super) async fn prepared(
        &self,
        snapshot: &Arc<Snapshot>,
        request: v1::SearchRequest,
        caller: &Caller,
    ) -> Result<Ready, Error> {
        let snapshot = match self.viewed(snapshot, &request.head_versions, request.filter.as_ref()).await {
            // The first page had these versions.
            Err(Error::Faults(faults)) if !request.page_token.is_empty() => {
                check_page(&faults)?;
                return Err(Error::Faults(faults));
            }
            viewed => viewed?,
        };
        let (view, spec) = self.ready(&snapshot, request, caller).await?;
        Ok((snapshot, view, spec))
    }

    /// Runs the searches of a batch; those on one state share the pass over memory.
    ///
    /// # Errors
    /// When the search as a whole failed; the inner errors are those of one search.
    pub(super) async fn found(
        &self,
        prepared: Vec<Result<Ready, Error>>,
    ) -> Result<Vec<Result<Found, Error>>, Error> {
        let mut outcomes: BTreeMap<usize, Result<Found, Error>> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (place, one) in prepared.into_iter().enumerate() {
            let (snapshot, view, spec) = match one {
                Ok(ready) => ready,
                Err(error) => {
                    outcomes.insert(place, Err(error));
                    continue;
                }
            };
            match groups.iter_mut().find(|group| Arc::ptr_eq(&group.snapshot, &snapshot)) {
                Some(group) => {
                    group.places.push(place);
                    group.queries.push((view, spec));
                }
                None => groups.push(Group { snapshot, places: vec![place], queries: vec![(view, spec)] }),
            }
        }
        for Group { snapshot, places, queries } in groups {
            let mut answers = self.core.search_batch(&snapshot, queries).await?.into_iter();
            for place in places {
                let none = || Err(Error::Internal("a search without an answer".into()));
                let answer = answers.next().unwrap_or_else(none);
                outcomes.insert(place, answer.map(|answer| (snapshot.clone(), answer)));
            }
        }
        Ok(outcomes.into_values().collect())
    }
}
