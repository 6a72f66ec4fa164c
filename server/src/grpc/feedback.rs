//! `FeedbackService`.

use super::{Services, convert, paging};
use crate::error::Error;
use crate::feedback::{feedback, picked_slots, view_of_picks};
use crate::search::{SearchSpec, Weighting, head_weights, view_of_item};
use crate::store::ProfileRecord;
use lapel_proto::v1;
use lapel_proto::v1::feedback_service_server::FeedbackService;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl FeedbackService for Services {
    async fn personalise(
        &self,
        request: Request<v1::PersonaliseRequest>,
    ) -> Result<Response<v1::PersonaliseResponse>, Status> {
        Ok(Response::new(self.personalise_one(request.into_inner()).await?))
    }

    async fn save_profile(
        &self,
        request: Request<v1::SaveProfileRequest>,
    ) -> Result<Response<v1::SaveProfileResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("SaveProfile", &request.request_id, &request)?;
        let v1::SaveProfileRequest { name, weights, picked_ids, .. } = request;
        let weights = head_weights(&self.core.snapshot(), &weights)?;
        let (core, saved) = (self.core.clone(), name.clone());
        let record =
            tokio::task::spawn_blocking(move || core.profiles().save(&saved, weights, picked_ids, &id)).await;
        let record = record.map_err(Error::from)??;
        Ok(Response::new(v1::SaveProfileResponse { profile: Some(profile(name, record)) }))
    }

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        let name = request.into_inner().name;
        let record = self.core.profile(&name).await?;
        Ok(Response::new(v1::GetProfileResponse { profile: Some(profile(name, record)) }))
    }

    async fn list_profiles(
        &self,
        request: Request<v1::ListProfilesRequest>,
    ) -> Result<Response<v1::ListProfilesResponse>, Status> {
        let v1::ListProfilesRequest { page_size, page_token } = request.into_inner();
        let size = paging::page_size(page_size)?;
        let found = self.core.profiles_after(&page_token, size + 1).await?;
        let profiles: Vec<v1::Profile> =
            found.into_iter().map(|(name, record)| profile(name, record)).collect();
        let (profiles, next_page_token) = paging::cut(profiles, size, |profile| profile.name.clone());
        Ok(Response::new(v1::ListProfilesResponse { profiles, next_page_token }))
    }

    async fn undo_profile(
        &self,
        request: Request<v1::UndoProfileRequest>,
    ) -> Result<Response<v1::UndoProfileResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("UndoProfile", &request.request_id, &request)?;
        let v1::UndoProfileRequest { name, version, .. } = request;
        let (core, undone) = (self.core.clone(), name.clone());
        let record = tokio::task::spawn_blocking(move || core.profiles().undo(&undone, version, &id)).await;
        let record = record.map_err(Error::from)??;
        Ok(Response::new(v1::UndoProfileResponse { profile: Some(profile(name, record)) }))
    }

    async fn delete_profile(
        &self,
        request: Request<v1::DeleteProfileRequest>,
    ) -> Result<Response<v1::DeleteProfileResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("DeleteProfile", &request.request_id, &request)?;
        let (core, name) = (self.core.clone(), request.name);
        tokio::task::spawn_blocking(move || core.profiles().delete(&name, &id))
            .await
            .map_err(Error::from)??;
        Ok(Response::new(v1::DeleteProfileResponse {}))
    }
}

impl Services {
    async fn personalise_one(
        &self,
        request: v1::PersonaliseRequest,
    ) -> Result<v1::PersonaliseResponse, Error> {
        let limits = &self.core.config.limits;
        let counts = (request.manipulations.len(), request.filters.as_slice(), request.exclude_ids.len());
        let violations = convert::search_faults(request.k, 0, counts, limits);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        let snapshot = self.core.snapshot();
        let picks = picked_slots(&snapshot, &request.picked_ids, limits.picks_max)?;
        let found = feedback(&snapshot, &picks);
        let weighting = match &found.weights {
            // As they are: they may become a profile, which an edit multiplies when it is used.
            Some(weights) => Weighting::Named { by_name: weights.clone(), only_named: false },
            None if request.profile.is_empty() => Weighting::Own,
            None => self.profile_weighting(&snapshot, &request.profile).await?,
        };
        // A single pick takes the query's place (section 5).
        let replaced = if let [only] = request.picked_ids.as_slice() { only.clone() } else { String::new() };
        let view = if !replaced.is_empty() {
            view_of_item(&snapshot, &replaced)?
        } else if request.query.is_some() {
            self.core.view(&snapshot, convert::query_source(request.query)?).await?
        } else {
            view_of_picks(&snapshot, &picks)
        };
        // Also without results to show, the weights are those that a search would use.
        let spec = SearchSpec {
            manipulations: convert::manipulations(request.manipulations),
            weighting,
            filters: convert::filters(request.filters),
            exclude: request.exclude_ids,
            k: request.k.max(1) as usize,
            explain: request.explain,
            plan: None,
        };
        let answer = self.core.search(&snapshot, view, spec).await?;
        let asked = request.k > 0;
        Ok(v1::PersonaliseResponse {
            weights: answer.weights,
            head_weights: convert::head_weights(answer.head_weights),
            pair_distances: found.pair_distances,
            replaced_query_item_id: replaced,
            results: if asked { convert::results(&snapshot, answer.matches) } else { Vec::new() },
            plan: asked.then(|| convert::plan(answer.plan)),
            generation: snapshot.generation,
        })
    }
}

fn profile(name: String, record: ProfileRecord) -> v1::Profile {
    v1::Profile {
        name,
        version: record.version,
        weights: record.current.weights,
        picked_ids: record.current.picked_ids,
        update_time: convert::timestamp(record.current.saved_ms),
        undo_steps: record.earlier.len() as u32,
    }
}
