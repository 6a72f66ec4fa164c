//! `SearchService`.

use super::outgoing::{BatchRoom, readable};
use super::{Services, convert, predicted};
use crate::catalogue::{Column, Snapshot, applies};
use crate::error::Error;
use crate::front::Caller;
use futures_util::{StreamExt, stream};
use lapel_heads::{Head, Labels};
use lapel_proto::v1::search_service_server::SearchService;
use lapel_proto::v1::{self, describe_request, search_batch_result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tonic::{Request, Response, Status};

/// Label probabilities that Describe gives when the request leaves it open.
const LABELS_DEFAULT: usize = 3;

/// Searches of a batch that run at once: enough to fill the model's batches, too few to crowd others out.
const BATCH_AT_ONCE: usize = 8;

#[tonic::async_trait]
impl SearchService for Services {
    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let answer = self.describe_one(request.into_inner()).await?;
        Ok(Response::new(readable(answer, || "ask for fewer labels (labels_max)".to_owned())?))
    }

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let serving = self.core.predicting(&predicted::attributes(request.filter.as_ref())).await?;
        let (snapshot, view, spec) = self.prepared(&serving, request, &caller).await?;
        let answer = self.core.search(&snapshot, view, spec).await?;
        Ok(Response::new(readable(convert::answer(&snapshot, answer)?, fewer)?))
    }

    async fn search_batch(
        &self,
        request: Request<v1::SearchBatchRequest>,
    ) -> Result<Response<v1::SearchBatchResponse>, Status> {
        let caller = &Caller::of(&request)?;
        let v1::SearchBatchRequest { requests } = request.into_inner();
        let most = self.core.config.limits.batch_max;
        if requests.is_empty() || requests.len() > most {
            let found = requests.len();
            return Err(Error::invalid(
                "requests",
                format!("{found} searches are asked for; 1 to {most} are accepted"),
            )
            .into());
        }
        // One snapshot for all, whatever versions of it they ask for: a batch never mixes two states.
        let predicted = predicted::attributes(requests.iter().filter_map(|request| request.filter.as_ref()));
        let snapshot = &self.core.predicting(&predicted).await?;
        let prepare = |request| self.prepared(snapshot, request, caller);
        let prepared: Vec<_> = stream::iter(requests).map(prepare).buffered(BATCH_AT_ONCE).collect().await;
        let found = self.found(prepared).await?;
        let mut room = BatchRoom::new(found.len());
        let results = found.into_iter().map(|found| {
            let answer = found.and_then(|(snapshot, answer)| room.fit(convert::answer(&snapshot, answer)?));
            let outcome = match answer {
                Ok(answer) => search_batch_result::Outcome::Response(answer),
                Err(error) => search_batch_result::Outcome::Error(convert::item_error(error)),
            };
            v1::SearchBatchResult { outcome: Some(outcome) }
        });
        Ok(Response::new(v1::SearchBatchResponse { results: results.collect() }))
    }

    async fn suggest(
        &self,
        request: Request<v1::SuggestRequest>,
    ) -> Result<Response<v1::SuggestResponse>, Status> {
        let answer = self.suggest_one(request.into_inner()).await?;
        let instead = || "ask for fewer suggestions (suggestions_max)".to_owned();
        Ok(Response::new(readable(answer, instead)?))
    }
}

/// What to do about an answer that is too large.
fn fewer() -> String {
    "ask for fewer results, show_fields, facets or values of each, or without explanations".to_owned()
}

/// What a description is made from: signatures in the order of the heads, the parts, and the case that decides which heads
/// tell anything.
type Looked = (Vec<Option<Vec<f32>>>, Option<lapel_heads::Parts>, Option<lapel_heads::PartsCase>);

impl Services {
    /// What there is to say of an item, or of one of its images.
    async fn describe_item(
        &self,
        snapshot: &Snapshot,
        id: &str,
        picture: Option<u32>,
    ) -> Result<Looked, Error> {
        let (slot, item) = (snapshot.slot(id)?, snapshot.item(id)?);
        let image = item.images().get(picture.unwrap_or(0) as usize).copied();
        if let Some(number) = picture.filter(|_| image.is_none()) {
            return Err(Error::not_found("item with so many images", format!("{id} (picture {number})")));
        }
        let bytes = self.core.image(id, picture.unwrap_or(0)).await?;
        let parts = match bytes {
            Some(bytes) => Some(self.core.parts(snapshot, bytes).await?),
            None => None,
        };
        let signatures = match picture.filter(|_| item.pictures() > 1) {
            Some(number) => {
                let of =
                    |column: &Column| snapshot.picture_signature(column, slot, number).map(Cow::into_owned);
                snapshot.reading(|| snapshot.columns().iter().map(of).collect())?
            }
            None => {
                let rows = snapshot.active_signatures(&[id])?.into_iter().flatten();
                rows.map(|signature| signature.map(Cow::into_owned)).collect()
            }
        };
        let case = image.and_then(|image| image.parts_case);
        Ok((signatures, parts, case.map(crate::cases::of)))
    }

    async fn describe_one(&self, request: v1::DescribeRequest) -> Result<v1::DescribeResponse, Error> {
        let v1::DescribeRequest { source, include_signatures, labels_max, picture, head_versions } = request;
        let snapshot = self.viewed(&self.core.snapshot(), &head_versions, None).await?;
        let mut labels = Labels::new();
        let (signatures, parts, case) = match source {
            Some(describe_request::Source::Image(_)) if picture.is_some() => {
                return Err(Error::invalid("picture", "only an item has numbered images; leave it out"));
            }
            Some(describe_request::Source::Image(image)) => {
                let embedding = self.core.embed(&snapshot, image).await?;
                let values =
                    embedding.signatures.into_iter().map(|s| s.map(lapel_heads::Signature::into_values));
                let parts = embedding.features.parts;
                (values.collect::<Vec<_>>(), Some(parts), Some(parts.case))
            }
            Some(describe_request::Source::ItemId(id)) => {
                labels = snapshot.item(&id)?.labels();
                self.describe_item(&snapshot, &id, picture).await?
            }
            None => return Err(Error::invalid("source", "set one of image and item_id")),
        };
        let most = if labels_max == 0 { LABELS_DEFAULT } else { labels_max as usize };
        let pairs = || snapshot.heads().iter().zip(&signatures).filter_map(|(h, s)| Some((h, s.as_ref()?)));
        let telling = pairs().filter(|(head, _)| applies(head, case));
        let mut attributes: Vec<_> = telling.flat_map(|(head, s)| predictions(head, s, most)).collect();
        let may_show_garment = parts
            .as_ref()
            .zip(snapshot.model())
            .is_none_or(|(parts, model)| model.embedder().may_show_garment(parts));
        if !may_show_garment {
            attributes.iter_mut().for_each(|predicted| predicted.unsure = true);
        }
        attributes.sort_by(|a, b| a.attribute.cmp(&b.attribute));
        let given =
            pairs().map(|(head, s)| v1::Signature { head: head.name().to_owned(), values: s.clone() });
        Ok(v1::DescribeResponse {
            attributes,
            parts: parts.as_ref().map(convert::parts),
            signatures: if include_signatures { given.collect() } else { Vec::new() },
            generation: snapshot.generation,
            stored_labels: labels.into_iter().collect::<BTreeMap<_, _>>(),
        })
    }
}

fn predictions(head: &Head, signature: &[f32], most: usize) -> Vec<v1::PredictedAttribute> {
    let attributes = &head.manifest().attributes;
    let predicted = attributes.iter().filter_map(|attribute| {
        let mut scores = head.classify(attribute, signature)?;
        scores.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        let unsure = scores.first().is_some_and(|likeliest| head.is_unsure(attribute, likeliest));
        let labels = scores.into_iter().take(most);
        Some(v1::PredictedAttribute {
            attribute: attribute.name.clone(),
            head: head.name().to_owned(),
            labels: labels
                .map(|s| v1::LabelProbability { label: s.label, probability: s.probability })
                .collect(),
            unsure,
        })
    });
    predicted.collect()
}
