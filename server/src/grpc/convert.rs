//! Between messages and the server's own types.

use super::outgoing::MESSAGE_BYTES;
use super::status::code_and_reason;
use super::{facets, fields, mask, page_token, suggest};
use crate::catalogue::{Item, Snapshot};
use crate::core::{NewItem, RequestId};
use crate::error::{Error, Faults};
use crate::life::{HeadState, HeadStatus, Progress};
use crate::search::{
    EditsMet, Explanation, Group, HeadWeight, ManipulationEffect, Match, Outcome, Plan, PlanKind,
    SearchAnswer,
};
use crate::store::{ContentId, RequestHash};
use lapel_heads::{HeadKind, Parts, Rect};
use lapel_proto::v1;
use lapel_search::{FacetCounts, FacetOf};
use prost::Message;
use prost_types::Timestamp;
use std::collections::BTreeMap;

pub(super) fn signatures(given: Vec<v1::Signature>) -> Vec<(String, Vec<f32>)> {
    given.into_iter().map(|v1::Signature { head, values }| (head, values)).collect()
}

pub(super) fn item_error(error: Error) -> v1::ItemError {
    let reason = code_and_reason(&error).1.to_owned();
    // The status decides what a caller may read.
    let status = tonic::Status::from(error);
    v1::ItemError { code: status.code() as i32, message: status.message().to_owned(), reason }
}

pub(super) fn timestamp(ms: u64) -> Option<Timestamp> {
    Some(Timestamp { seconds: (ms / 1000) as i64, nanos: (ms % 1000 * 1_000_000) as i32 })
}

pub(super) fn item(snapshot: &Snapshot, item: &Item) -> v1::Item {
    let slot = snapshot.items().slot(&item.id);
    let has = |c: &&crate::catalogue::Column| slot.is_some_and(|slot| snapshot.has_signature(c, slot));
    let record = item.record();
    v1::Item {
        id: item.id.to_string(),
        has_image: item.has_image(),
        heads: snapshot.columns().iter().filter(has).map(|c| c.head().name().to_owned()).collect(),
        update_time: timestamp(record.updated_ms),
        fields: fields::fields(&record.fields),
        images: item.pictures(),
        labels: record.labels,
    }
}

pub(super) fn parts(parts: &Parts) -> v1::Parts {
    let rect = |r: Rect| v1::Rect { x0: r.x0, y0: r.y0, x1: r.x1, y1: r.y1 };
    v1::Parts {
        case: parts.case.name().to_owned(),
        segmented: parts.segmented,
        rects: parts.named().into_iter().map(|(name, r)| (name.to_owned(), rect(r))).collect(),
    }
}

/// Results with those of their fields that are to be shown. Where they take more than `room` has left, the rest is not made:
/// the answer is too large with what there is.
pub(super) fn results(
    snapshot: &Snapshot,
    matches: Vec<Match>,
    (show, room): (&[String], &mut usize),
) -> Vec<v1::SearchResult> {
    let mut results = Vec::with_capacity(matches.len());
    for found in matches {
        let Some(item) = snapshot.items().get(found.slot) else { continue };
        // Most searches show none.
        let fields_shown = if show.is_empty() { BTreeMap::new() } else { item.record().fields };
        let result = v1::SearchResult {
            item_id: item.id.to_string(),
            distance: found.distance,
            explanation: found.explanation.map(explanation),
            matches_all: matches!(found.edits_met, EditsMet::All | EditsMet::AllPredicted),
            matches_predicted: found.edits_met == EditsMet::AllPredicted,
            fields: fields::some(&fields_shown, show),
            picture: found.picture,
            labels: item.labels(),
        };
        let bytes = result.encoded_len();
        results.push(result);
        if bytes > *room {
            *room = 0;
            break;
        }
        *room -= bytes;
    }
    results
}

fn explanation(explanation: Explanation) -> v1::Explanation {
    let terms = explanation.terms.into_iter().map(|t| v1::Term {
        contribution: t.weight * t.distance,
        head: t.head,
        weight: t.weight,
        distance: t.distance,
        missing: t.missing,
        region: t.region.name().to_owned(),
    });
    let attributes = explanation.attributes.into_iter().map(|a| v1::AttributeMatch {
        attribute: a.attribute,
        wanted: a.wanted.unwrap_or_default(),
        found: a.found.unwrap_or_default(),
        predicted: a.predicted,
        unsure: a.unsure,
        edited: a.edited,
        outcome: match a.outcome {
            Outcome::Changed => v1::AttributeOutcome::Changed,
            Outcome::Kept => v1::AttributeOutcome::Kept,
            Outcome::Differs => v1::AttributeOutcome::Differs,
            Outcome::Unknown => v1::AttributeOutcome::Unknown,
        }
        .into(),
    });
    v1::Explanation { terms: terms.collect(), attributes: attributes.collect() }
}

/// The answer to a search.
///
/// # Errors
/// When the token of the next page would be too large.
pub(super) fn answer(snapshot: &Snapshot, answer: SearchAnswer) -> Result<v1::SearchResponse, Error> {
    let (show, mut room) = (answer.show_fields.as_slice(), MESSAGE_BYTES);
    let listed = results(snapshot, answer.matches, (show, &mut room));
    let mut groups = Vec::new();
    for Group { value, matches } in answer.groups.into_iter().flatten() {
        if room == 0 {
            break;
        }
        let results = results(snapshot, matches, (show, &mut room));
        groups.push(v1::ResultGroup { value: value.as_ref().map(fields::to_wire), results });
    }
    let facets = |counted: Vec<(FacetOf, FacetCounts)>| -> Vec<v1::Facet> {
        counted.into_iter().map(|(of, counts)| facets::answer(&of, counts)).collect()
    };
    Ok(v1::SearchResponse {
        results: listed,
        weights: answer.weights,
        manipulations: answer.effects.into_iter().map(effect).collect(),
        items_with_all_labels: answer.items_with_all_labels,
        plan: Some(plan(answer.plan)),
        generation: snapshot.generation,
        head_weights: head_weights(answer.head_weights),
        groups,
        next_page_token: answer.next.map_or(Ok(Vec::new()), page_token::written)?,
        facets: facets(answer.facets),
        result_facets: facets(answer.result_facets),
        items_passing: answer.items_passing,
        attainability: answer.attainability.map(suggest::attainability),
    })
}

pub(super) fn head_weights(weights: Vec<HeadWeight>) -> Vec<v1::HeadWeight> {
    let one = |w: HeadWeight| v1::HeadWeight {
        head: w.head,
        weight: w.weight,
        own_weight: w.origin.own,
        given_weight: w.origin.given,
        confidence: w.origin.confidence,
        edited: w.origin.edited,
        factor: w.origin.factor,
    };
    weights.into_iter().map(one).collect()
}

pub(super) fn plan(plan: Plan) -> v1::SearchPlan {
    let kind = match plan.kind {
        PlanKind::ExactScan => v1::PlanKind::ExactScan,
        PlanKind::CodeScan => v1::PlanKind::CodeScan,
        PlanKind::Hnsw => v1::PlanKind::Hnsw,
    };
    v1::SearchPlan {
        kind: kind.into(),
        scanned: plan.scanned,
        rescored: plan.rescored,
        missing: plan.missing,
    }
}

pub(super) fn effect(effect: ManipulationEffect) -> v1::ManipulationEffect {
    v1::ManipulationEffect {
        attribute: effect.manipulation.attribute,
        label: effect.manipulation.label,
        head: effect.head,
        prototype_count: effect.prototype_count,
        prototype_from_catalog: effect.prototype_from_catalogue,
        items_with_label: effect.items_with_label,
    }
}

/// A request's id, with what it asks for: the method and the message.
pub(super) fn request_id<M: prost::Message>(
    method: &'static str,
    id: &str,
    message: &M,
) -> Result<RequestId, Error> {
    if id.is_empty() {
        Ok(RequestId::none())
    } else {
        request_id_of(method, b"", id, &message.encode_to_vec())
    }
}

/// As [`request_id`], for a request that is identified by some bytes; `scope` tells apart who may ask for the same.
pub(super) fn request_id_of(
    method: &'static str,
    scope: &[u8],
    id: &str,
    message: &[u8],
) -> Result<RequestId, Error> {
    if id.is_empty() {
        return Ok(RequestId::none());
    }
    if !lapel_heads::is_name(id) {
        let wanted = "a request id has 1 to 64 characters, no control characters, no outer spaces";
        return Err(Error::invalid("request_id", wanted));
    }
    // Messages of several methods have the same fields, so their bytes alone could mean any of them.
    let request = ContentId::of(&[method.as_bytes(), b"\0".as_slice(), scope, message].concat());
    // Receipts of older catalogues may be of the message alone.
    let request = RequestHash { request, message: ContentId::of(message) };
    Ok(RequestId { id: id.to_owned(), request })
}

/// What a message takes in memory, about: its bytes, and a place for each label, signature, field, keyword and path, which
/// may be empty.
pub(super) fn in_memory(message: &v1::UpsertItemsRequest) -> usize {
    const PLACE: usize = 96;
    let keywords: usize = message.fields.values().map(fields::entries).sum();
    let paths = message.update_mask.as_ref().map_or(0, |mask| mask.paths.len());
    let named = message.labels.len() + message.signatures.len() + message.fields.len();
    let places = named + keywords + paths + message.more_images.len();
    message.encoded_len() + PLACE * places
}

/// An item as it came, `once` where its id did not come before in the stream; all its faults at once.
pub(super) fn new_item(message: v1::UpsertItemsRequest, once: bool) -> Result<NewItem, Error> {
    let mut faults = Faults::default();
    let request = request_id("UpsertItems", &message.request_id, &message);
    let request = faults.gather("request_id", request)?.unwrap_or_else(RequestId::none);
    let v1::UpsertItemsRequest {
        id,
        image,
        labels,
        signatures,
        signatures_only,
        labels_only,
        request_id: _,
        fields,
        update_mask,
        more_images,
        keep_others,
    } = message;
    if !once {
        faults.refuse("id", format!("{id:?} came before in this stream; send an id once"));
    }
    let scope = mask::scope(update_mask, signatures_only, labels_only, &mut faults);
    let scope = if keep_others { mask::keeping_others(scope, &mut faults) } else { scope };
    let fields = fields::from_wire(fields, &mut faults);
    faults.end()?;
    let image = (!image.is_empty()).then_some(image);
    let signatures = self::signatures(signatures);
    Ok(NewItem { id, image, more_images, labels, fields, signatures, scope, request })
}

/// A head's or a model's state, and why it failed.
pub(super) fn head_state(state: &HeadState) -> (v1::HeadState, &str) {
    match state {
        HeadState::Backfilling => (v1::HeadState::Backfilling, ""),
        HeadState::Standby => (v1::HeadState::Standby, ""),
        HeadState::Active => (v1::HeadState::Active, ""),
        HeadState::Draining => (v1::HeadState::Draining, ""),
        HeadState::Retired => (v1::HeadState::Retired, ""),
        HeadState::Failed(reason) => (v1::HeadState::Failed, reason.as_str()),
    }
}

pub(super) fn progress(progress: &Progress) -> v1::BackfillProgress {
    let left = progress.total.saturating_sub(progress.done) as f64;
    v1::BackfillProgress {
        items_total: progress.total,
        items_done: progress.done,
        items_skipped: progress.skipped.values().sum(),
        items_per_second: progress.per_second,
        skipped_by_reason: progress.skipped.iter().map(|(skip, n)| (skip.name().to_owned(), *n)).collect(),
        seconds_left: (progress.per_second > 0.0).then(|| left / progress.per_second),
        items_from_cache: progress.from_cache,
    }
}

pub(super) fn head(status: &HeadStatus) -> v1::Head {
    let manifest = status.head.as_ref().map(|h| h.manifest());
    let kind = manifest.map_or(v1::HeadKind::Unspecified, |m| match m.kind {
        HeadKind::Network => v1::HeadKind::Network,
        HeadKind::External => v1::HeadKind::External,
    });
    let (state, failure) = head_state(&status.state);
    v1::Head {
        name: status.name.clone(),
        bundle_sha256: status.bundle_sha256.clone(),
        kind: kind.into(),
        region: manifest.map(|m| m.region.name().to_owned()).unwrap_or_default(),
        dim: manifest.map_or(0, |m| m.dim as u32),
        attributes: manifest
            .map(|m| m.attributes.iter().map(|a| a.name.clone()).collect())
            .unwrap_or_default(),
        state: state.into(),
        failure: failure.to_owned(),
        backfill: Some(progress(&status.progress)),
        register_time: timestamp(status.registered_ms),
        description: manifest.map(|m| m.description.clone()).unwrap_or_default(),
        context: manifest.is_some_and(|m| m.context),
        weight: manifest.map_or(1.0, |m| f64::from(m.weight)),
        changed_weight: manifest.map_or(1.0, |m| f64::from(m.changed_weight)),
        confidence_exponent: manifest.map_or(0.0, |m| f64::from(m.confidence)),
        version: status.version,
        backbone: status.backbone.clone().unwrap_or_default(),
        serve_time: if status.served_ms == 0 { None } else { timestamp(status.served_ms) },
    }
}
