//! Suggest, and what is attainable of a search's edits.

use super::asked::{Asked, fits, no_query};
use super::{Services, predicted};
use crate::error::{Error, Faults};
use crate::search::{
    Attainability, AttainableChange, Concession, Manipulation, SuggestSpec, Suggestion, kept_attributes,
};
use lapel_proto::v1;

/// Suggestions that a request gets when it leaves it open.
const SUGGESTIONS_DEFAULT: u32 = 20;

impl Services {
    /// The edits of a query that lead somewhere.
    ///
    /// # Errors
    /// The faults of `head_versions` alone; all others at once; the photo's, where there is no other; or what is none of the
    /// request's own.
    pub(super) async fn suggest_one(
        &self,
        request: v1::SuggestRequest,
    ) -> Result<v1::SuggestResponse, Error> {
        let v1::SuggestRequest { query, manipulations, filter, keep, suggestions_max, head_versions } =
            request;
        let serving = self.core.predicting(&predicted::attributes(filter.as_ref())).await?;
        let snapshot = self.viewed(&serving, &head_versions, filter.as_ref()).await?;
        let limits = &self.core.config.limits;
        let mut faults = Faults::default();
        if suggestions_max > limits.k_max {
            let most = limits.k_max;
            let given = format!("{suggestions_max} suggestions are asked for; up to {most} are given");
            faults.refuse("suggestions_max", given);
        }
        fits("keep", keep.len(), limits, &mut faults);
        let keep = kept_attributes(&snapshot, keep, &mut faults);
        let has_query = query.is_some();
        // What a search asks besides, a suggestion does not.
        let asked = Asked {
            query,
            manipulations,
            filters: Vec::new(),
            filter,
            exclude_ids: Vec::new(),
            k: 1,
            explain: false,
            distance_max: None,
            show_fields: Vec::new(),
            pictures: v1::PictureMode::Unspecified.into(),
            goes_on: false,
        };
        let (likeness, spec) = asked.check(self, &snapshot, 1, &mut faults).await?;
        if !has_query {
            faults.gather("query", Err::<(), _>(no_query()))?;
        }
        faults.end()?;
        let view = self.embedded(&snapshot, likeness.ok_or_else(no_query)?).await?;
        let most = if suggestions_max == 0 { SUGGESTIONS_DEFAULT } else { suggestions_max };
        let spec =
            SuggestSpec { edits: spec.edits, filter: spec.filter, keep, suggestions_max: most as usize };
        let found = self.core.suggest(&snapshot, view, spec).await?;
        Ok(v1::SuggestResponse {
            suggestions: found.suggestions.into_iter().map(suggestion).collect(),
            kept: found.kept,
            generation: snapshot.generation,
        })
    }
}

fn suggestion(found: Suggestion) -> v1::Suggestion {
    let Suggestion { manipulation, items, best } = found;
    v1::Suggestion {
        manipulation: Some(edit(manipulation)),
        items,
        best_item_id: best.id.to_string(),
        best_distance: best.distance,
    }
}

pub(super) fn attainability(found: Attainability) -> v1::Attainability {
    let Attainability { items, changes } = found;
    v1::Attainability { items, changes: changes.into_iter().map(change).collect() }
}

fn change(found: AttainableChange) -> v1::AttainableChange {
    let AttainableChange { concession, items, best } = found;
    let reached = v1::AttainableChange {
        items,
        best_item_id: best.id.to_string(),
        best_distance: best.distance,
        ..v1::AttainableChange::default()
    };
    match concession {
        Concession::GiveUp(given_up) => {
            v1::AttainableChange { given_up: given_up.into_iter().map(edit).collect(), ..reached }
        }
        Concession::Replace { wanted, label, prototype_distance } => v1::AttainableChange {
            replaced: Some(edit(wanted)),
            replacement: label,
            prototype_distance,
            ..reached
        },
    }
}

fn edit(manipulation: Manipulation) -> v1::Manipulation {
    let Manipulation { attribute, label } = manipulation;
    v1::Manipulation { attribute, label }
}
