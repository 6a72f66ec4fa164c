//! `FeedbackService`.

use super::asked::Asked;
use super::outgoing::{MESSAGE_BYTES, readable};
use super::{Services, convert, paging, predicted};
use crate::catalogue::Snapshot;
use crate::core::RequestId;
use crate::error::{Error, Faults};
use crate::feedback::{Feedback, FeedbackFormula, PickedIds, Picks};
use crate::front::{Caller, Role};
use crate::profiles::{before, check_profile, holds, key_of, subject_and_name};
use crate::search::{SearchAnswer, SearchSpec, Weighting, head_weights, view_of_item};
use crate::store::ProfileRecord;
use lapel_heads::{PICKS_SHARE, is_name};
use lapel_proto::v1;
use lapel_proto::v1::feedback_service_server::FeedbackService;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl FeedbackService for Services {
    async fn personalise(
        &self,
        request: Request<v1::PersonaliseRequest>,
    ) -> Result<Response<v1::PersonaliseResponse>, Status> {
        let caller = Caller::of(&request)?;
        let answer = self.personalise_one(request.into_inner(), &caller).await?;
        let fewer = || "ask for fewer results or show_fields, or without explanations".to_owned();
        Ok(Response::new(readable(answer, fewer)?))
    }

    async fn save_profile(
        &self,
        request: Request<v1::SaveProfileRequest>,
    ) -> Result<Response<v1::SaveProfileResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let mut faults = Faults::default();
        let id = request_id("SaveProfile", &caller, &request.request_id, &request);
        let id = faults.gather("request_id", id)?.unwrap_or_else(RequestId::none);
        let v1::SaveProfileRequest { name, weights, picked_ids, request_id: _ } = request;
        let sound = check_profile(&name, &weights, &picked_ids, &self.core.config.limits);
        faults.gather("name", sound)?;
        // What is there already stays, although heads of it may be gone.
        let weights = if self.is_held(&caller, &name, &weights, &picked_ids).await {
            weights
        } else {
            let weights = head_weights(&self.core.snapshot(), &weights, "weights");
            faults.gather("weights", weights)?.unwrap_or_default()
        };
        faults.end()?;
        let key = key_of(caller.subject.as_deref(), &name);
        let (core, saved) = (self.core.clone(), key.clone());
        let record =
            tokio::task::spawn_blocking(move || core.profiles().save(&saved, weights, picked_ids, &id)).await;
        let record = record.map_err(Error::from)??;
        Ok(Response::new(v1::SaveProfileResponse { profile: Some(profile(&key, record)) }))
    }

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        let caller = Caller::of(&request)?;
        let v1::GetProfileRequest { name } = request.into_inner();
        let key = self.profile_key(&caller, name).await?;
        let record = self.core.profile(&key).await?;
        Ok(Response::new(v1::GetProfileResponse { profile: Some(profile(&key, record)) }))
    }

    async fn list_profiles(
        &self,
        request: Request<v1::ListProfilesRequest>,
    ) -> Result<Response<v1::ListProfilesResponse>, Status> {
        let Caller { subject, is_operator } = Caller::of(&request)?;
        let v1::ListProfilesRequest { page_size, page_token, all_subjects } = request.into_inner();
        if all_subjects && !is_operator {
            return Err(Error::Forbidden { roles: Role::Admin.name().to_owned() }.into());
        }
        let size = paging::page_size(page_size)?;
        // Tokens of pages are names, or keys where names alone are not distinct.
        let after = if all_subjects { page_token } else { before(subject.as_deref(), &page_token) };
        let found = self.core.profiles_after(&after, size + 1).await?;
        let own = |key: &str| subject_and_name(key).0 == subject.as_deref().unwrap_or_default();
        let listed = found.into_iter().take_while(|(key, _)| all_subjects || own(key));
        let profiles: Vec<v1::Profile> = listed.map(|(key, record)| profile(&key, record)).collect();
        let (profiles, next_page_token) = paging::cut(profiles, size, |profile| match all_subjects {
            true => key_of(Some(profile.subject.as_str()).filter(|s| !s.is_empty()), &profile.name),
            false => profile.name.clone(),
        });
        Ok(Response::new(v1::ListProfilesResponse { profiles, next_page_token }))
    }

    async fn undo_profile(
        &self,
        request: Request<v1::UndoProfileRequest>,
    ) -> Result<Response<v1::UndoProfileResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = request_id("UndoProfile", &caller, &request.request_id, &request)?;
        let v1::UndoProfileRequest { name, version, request_id: _ } = request;
        let key = key_of(caller.subject.as_deref(), &name);
        let (core, undone) = (self.core.clone(), key.clone());
        let record = tokio::task::spawn_blocking(move || core.profiles().undo(&undone, version, &id)).await;
        let record = record.map_err(Error::from)??;
        Ok(Response::new(v1::UndoProfileResponse { profile: Some(profile(&key, record)) }))
    }

    async fn delete_profile(
        &self,
        request: Request<v1::DeleteProfileRequest>,
    ) -> Result<Response<v1::DeleteProfileResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let id = request_id("DeleteProfile", &caller, &request.request_id, &request)?;
        let v1::DeleteProfileRequest { name, request_id: _ } = request;
        let (core, key) = (self.core.clone(), key_of(caller.subject.as_deref(), &name));
        tokio::task::spawn_blocking(move || core.profiles().delete(&key, &id))
            .await
            .map_err(Error::from)??;
        Ok(Response::new(v1::DeleteProfileResponse {}))
    }
}

impl Services {
    /// The key of the profile that a caller reads by a name: its own, or else one that is nobody's, where there is one. What
    /// changes goes to its own.
    pub(super) async fn profile_key(&self, caller: &Caller, name: String) -> Result<String, Error> {
        let own = key_of(caller.subject.as_deref(), &name);
        // Other keys are not names, so that none of another subject can be asked for.
        if caller.subject.is_none() || !is_name(&name) {
            return Ok(own);
        }
        let store = self.core.store.clone();
        let found = tokio::task::spawn_blocking(move || {
            let is_nobodys = store.profile(&own)?.is_none() && store.profile(&name)?.is_some();
            Ok::<_, Error>(if is_nobodys { name } else { own })
        });
        found.await?
    }

    /// Whether the profile that a caller reads by a name holds just this.
    async fn is_held(
        &self,
        caller: &Caller,
        name: &str,
        weights: &BTreeMap<String, f64>,
        picked_ids: &[String],
    ) -> bool {
        // One that cannot be read is mended by a save, or the save fails by the same.
        let Ok(key) = self.profile_key(caller, name.to_owned()).await else { return false };
        self.core.profile(&key).await.is_ok_and(|record| holds(&record, weights, picked_ids))
    }

    async fn personalise_one(
        &self,
        request: v1::PersonaliseRequest,
        caller: &Caller,
    ) -> Result<v1::PersonaliseResponse, Error> {
        let v1::PersonaliseRequest {
            picked_ids,
            query,
            manipulations,
            profile,
            filters,
            exclude_ids,
            k,
            explain,
            distance_max,
            filter,
            unwanted_ids,
            as_before,
            show_fields,
            pictures,
            head_versions,
        } = request;
        let serving = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let snapshot = self.viewed(&serving, &head_versions, filter.as_ref()).await?;
        let limits = &self.core.config.limits;
        let mut faults = Faults::default();
        let ids = PickedIds { wanted: &picked_ids, unwanted: &unwanted_ids };
        let picks = Picks::find(&snapshot, ids, limits.picks_max);
        let picks = faults.gather("picked_ids", picks)?.unwrap_or_default();
        let replaced = replacing(ids, as_before);
        let query = query.filter(|_| replaced.is_empty());
        let edited = edited_heads(&snapshot, &manipulations, limits.query_terms_max);
        let asked = Asked {
            query,
            manipulations,
            filters,
            filter,
            exclude_ids,
            k,
            explain,
            distance_max,
            show_fields,
            pictures,
            goes_on: false,
        };
        let (likeness, spec) = asked.check(self, &snapshot, 0, &mut faults).await?;
        // Also where the picks give the weights: a name that is not there is a slip.
        let mut saved = None;
        if !profile.is_empty() {
            let weighting = self.profile_weighting(&snapshot, caller, profile).await;
            saved = faults.gather("profile", weighting)?;
        }
        let found = picks.feedback(formula(as_before));
        let weighting = match &found.weights {
            Some(weights) => Weighting::Picks { by_head: weights.clone() },
            None => saved.unwrap_or_default(),
        };
        faults.end()?;
        let (view, picks_share) = match likeness {
            _ if !replaced.is_empty() => (view_of_item(&snapshot, &replaced)?, 1.0),
            Some(likeness) if as_before => (self.embedded(&snapshot, likeness).await?, 0.0),
            Some(likeness) => (picks.beside(self.embedded(&snapshot, likeness).await?, &edited), PICKS_SHARE),
            None => (picks.view(), 1.0),
        };
        let mut spec = SearchSpec { weighting, no_attainability: true, ..spec };
        spec.exclude.extend(unwanted_ids);
        let answer = self.core.search(&snapshot, view, spec).await?;
        Ok(personalised(&snapshot, answer, found, (k > 0, replaced, picks_share)))
    }
}

/// The answer. Also without results to show, the weights are those that a search would use.
fn personalised(
    snapshot: &Snapshot,
    answer: SearchAnswer,
    found: Feedback,
    (shows_results, replaced, picks_share): (bool, String, f64),
) -> v1::PersonaliseResponse {
    let mut room = MESSAGE_BYTES;
    let results = if shows_results {
        convert::results(snapshot, answer.matches, (&answer.show_fields, &mut room))
    } else {
        Vec::new()
    };
    v1::PersonaliseResponse {
        weights: answer.weights,
        head_weights: convert::head_weights(answer.head_weights),
        pair_distances: found.pair_distances,
        replaced_query_item_id: replaced,
        results,
        plan: shows_results.then(|| convert::plan(answer.plan)),
        generation: snapshot.generation,
        wanted_distances: found.wanted_distances,
        unwanted_distances: found.unwanted_distances,
        picks_share,
    }
}

/// How weights come of the picks.
fn formula(as_before: bool) -> FeedbackFormula {
    if as_before { FeedbackFormula::Paper } else { FeedbackFormula::Contrasted }
}

/// The item that takes the query's place: a single pick does (section 5), unless there is an unwanted one to compare it
/// with. Empty: none.
fn replacing(ids: PickedIds<'_>, as_before: bool) -> String {
    match ids.wanted {
        [only] if as_before || ids.unwanted.is_empty() => only.clone(),
        _ => String::new(),
    }
}

/// The heads that edits touch. Of more edits than a query may have, which are refused elsewhere, the first are looked at.
fn edited_heads(snapshot: &Snapshot, edits: &[v1::Manipulation], edits_max: usize) -> BTreeSet<String> {
    let column = |edit: &v1::Manipulation| snapshot.column_of_attribute(&edit.attribute);
    let columns = edits.iter().take(edits_max).filter_map(column);
    columns.map(|column| column.head().name().to_owned()).collect()
}

/// A request's id, which belongs to its subject as well as to its method.
fn request_id<M: Message>(
    method: &'static str,
    caller: &Caller,
    id: &str,
    message: &M,
) -> Result<RequestId, Error> {
    let subject = caller.subject.as_deref().unwrap_or_default();
    let subject = [subject.as_bytes(), b"\0".as_slice()].concat();
    convert::request_id_of(method, &subject, id, &message.encode_to_vec())
}

fn profile(key: &str, record: ProfileRecord) -> v1::Profile {
    let (subject, name) = subject_and_name(key);
    v1::Profile {
        name: name.to_owned(),
        subject: subject.to_owned(),
        version: record.version,
        weights: record.current.weights,
        picked_ids: record.current.picked_ids,
        update_time: convert::timestamp(record.current.saved_ms),
        undo_steps: record.undo_steps,
    }
}
