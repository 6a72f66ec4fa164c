//! What Search, SearchBatch and Personalise ask in the same words, converted and checked once.
//!
//! Messages are taken apart field by field, without `..`: a field that is added to one and forgotten here does not
//! compile.

use super::ranking::{Pages, Ranked, Ranking};
use super::{Services, convert, facets, filters};
use crate::catalogue::Snapshot;
use crate::config::Limits;
use crate::core::QuerySource;
use crate::error::{Error, Fault, Faults};
use crate::front::Caller;
use crate::search::{
    ALSO, Edits, GivenSignatures, Manipulation, NAMED, PlanKind, QueryView, SearchSpec, Weighting,
    head_weights, signatures_beside,
};
use lapel_proto::v1::{self, search_request};
use lapel_search::PictureMode;

/// The fields that SearchRequest and PersonaliseRequest share.
pub(super) struct Asked {
    pub(super) query: Option<v1::Query>,
    pub(super) manipulations: Vec<v1::Manipulation>,
    pub(super) filters: Vec<v1::LabelFilter>,
    pub(super) filter: Option<v1::Filter>,
    pub(super) exclude_ids: Vec<String>,
    pub(super) k: u32,
    pub(super) explain: bool,
    pub(super) distance_max: Option<f64>,
    pub(super) show_fields: Vec<String>,
    pub(super) pictures: i32,
    /// Whether it is of a page behind the first: what its filters name may have gone since.
    pub(super) goes_on: bool,
}

/// A query before it costs anything: a photo is embedded only where nothing else is wrong.
pub(super) enum Likeness {
    Photo {
        image: Vec<u8>,
        /// What the photo cannot give.
        beside: GivenSignatures,
    },
    View(QueryView),
}

impl Asked {
    /// Checks all of it; `None` for the query where there is none or it is faulty. At least `k_min` results must be asked
    /// for.
    ///
    /// # Errors
    /// Whatever is no fault of the request.
    pub(super) async fn check(
        self,
        services: &Services,
        snapshot: &Snapshot,
        k_min: u32,
        faults: &mut Faults,
    ) -> Result<(Option<Likeness>, SearchSpec), Error> {
        let Self {
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
            goes_on,
        } = self;
        let config = &services.core.config;
        let limits = &config.limits;
        if !(k_min..=limits.k_max).contains(&k) {
            let given = format!("{k} results are asked for; {k_min} to {} are given", limits.k_max);
            faults.refuse("k", given);
        }
        if let Some(most) = distance_max
            && (!most.is_finite() || most < 0.0)
        {
            faults
                .refuse("distance_max", format!("{most} is given; a finite number, 0 or more, is accepted"));
        }
        // Ids that are not there are no fault: an item may be deleted while a shopper looks on.
        fits("exclude_ids", exclude_ids.len(), limits, faults);
        // Neither are fields that no item has: they come and go with the items.
        fits("show_fields", show_fields.len(), limits, faults);
        let filter = filters::filter_of_page(snapshot, config, (filters, filter, goes_on), faults);
        let pictures = faults.gather("pictures", picture_mode(pictures))?.unwrap_or_default();
        let mut edits = Edits::default();
        if fits("manipulations", manipulations.len(), limits, faults) {
            let wanted = manipulations.into_iter().map(manipulation).collect();
            let found = Edits::resolve(snapshot, wanted, config.search.prototype_items_min);
            edits = faults.gather("manipulations", found)?.unwrap_or_default();
        }
        let likeness = match query {
            Some(query) => services.likeness(snapshot, query, faults).await?,
            None => None,
        };
        // What else a request may ask for is its own; at least one result, so that its weights are those of a search.
        let k = k.max(1) as usize;
        let spec = SearchSpec {
            edits,
            filter,
            pictures,
            exclude: exclude_ids,
            k,
            distance_max,
            explain,
            show_fields,
            ..SearchSpec::default()
        };
        Ok((likeness, spec))
    }
}

impl Services {
    /// A search that is ready to run: everything that it names is there, and its photo is embedded.
    ///
    /// # Errors
    /// All faults of the request at once; the photo's, where there is no other; or what is none of its own.
    pub(super) async fn ready(
        &self,
        snapshot: &Snapshot,
        mut request: v1::SearchRequest,
        caller: &Caller,
    ) -> Result<(QueryView, SearchSpec), Error> {
        let (query, pages) = Pages::taken(&mut request);
        let v1::SearchRequest {
            query: _,
            manipulations,
            weighting,
            filters,
            exclude_ids,
            k,
            explain,
            exact,
            plan,
            distance_max,
            filter,
            group_by,
            diversity,
            offset,
            page_token: _,
            paged: _,
            facets,
            result_facets,
            show_fields,
            pictures,
            // Those that the snapshot has.
            head_versions: _,
        } = request;
        let (mut faults, config) = (Faults::default(), &self.core.config);
        let (has_query, goes_on) = (query.is_some(), pages.goes_on());
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
            goes_on,
        };
        let (likeness, spec) = asked.check(self, snapshot, 1, &mut faults).await?;
        // A page behind the first has the weights of the first, wherever those came from.
        let weighting = weighting.filter(|_| !goes_on);
        let weighting = self.weighting(snapshot, weighting, caller, &mut faults).await?;
        let plan = faults.gather("plan", wanted_plan(exact, plan))?.flatten();
        let ranking = Ranking { group_by, diversity, offset, k, pages };
        let ranked = ranking.check(snapshot, config, &mut faults)?;
        let facets = facets::requests(snapshot, config, "facets", lenient(facets, goes_on), &mut faults);
        let result_facets = lenient(result_facets, goes_on);
        let result_facets = facets::requests(snapshot, config, "result_facets", result_facets, &mut faults);
        if !has_query && !goes_on {
            faults.gather("query", Err::<(), _>(no_query()))?;
        }
        ended(faults, goes_on)?;
        let view = match likeness {
            Some(likeness) => self.embedded(snapshot, likeness).await?,
            None if goes_on => QueryView::default(),
            None => return Err(no_query()),
        };
        let Ranked { grouping, diversity, offset, paging } = ranked;
        let spec = SearchSpec { weighting, plan, grouping, diversity, offset, paging, ..spec };
        Ok((view, SearchSpec { facets, result_facets, ..spec }))
    }

    /// How much each head counts, as a search says it.
    async fn weighting(
        &self,
        snapshot: &Snapshot,
        given: Option<search_request::Weighting>,
        caller: &Caller,
        faults: &mut Faults,
    ) -> Result<Weighting, Error> {
        let (field, weighting) = match given {
            None => return Ok(Weighting::Own),
            Some(search_request::Weighting::Weights(weights)) => {
                ("weights", named_weights(snapshot, weights))
            }
            Some(search_request::Weighting::Profile(name)) => {
                ("profile", self.profile_weighting(snapshot, caller, name).await)
            }
        };
        Ok(faults.gather(field, weighting)?.unwrap_or_default())
    }

    /// What a query is like, as far as that is known without its photo; `None` where it is faulty.
    async fn likeness(
        &self,
        snapshot: &Snapshot,
        query: v1::Query,
        faults: &mut Faults,
    ) -> Result<Option<Likeness>, Error> {
        let v1::Query { source, also_signatures } = query;
        let also = convert::signatures(also_signatures);
        let (field, source, also) = match source {
            Some(v1::query::Source::Image(image)) => {
                let beside = faults.gather(ALSO, signatures_beside(snapshot, also))?;
                return Ok(beside.map(|beside| Likeness::Photo { image, beside }));
            }
            Some(v1::query::Source::ItemId(id)) => ("query.item_id", QuerySource::Item(id), also),
            Some(v1::query::Source::Signatures(v1::SignatureSet { signatures })) => {
                let given = convert::signatures(signatures);
                // Of any head, and of none that is given already: checked together.
                ("query.signatures", QuerySource::Signatures { given, also }, Vec::new())
            }
            None => {
                faults.gather("query", Err::<(), _>(no_query()))?;
                return Ok(None);
            }
        };
        let view = faults.gather(field, self.core.view(snapshot, source).await)?;
        let beside = faults.gather(ALSO, signatures_beside(snapshot, also))?;
        Ok(view.zip(beside).map(|(view, beside)| Likeness::View(view.with(beside))))
    }

    /// The view of a query that has no fault; its photo is embedded now.
    ///
    /// # Errors
    /// The photo's fault, or the model's.
    pub(super) async fn embedded(&self, snapshot: &Snapshot, likeness: Likeness) -> Result<QueryView, Error> {
        match likeness {
            Likeness::View(view) => Ok(view),
            Likeness::Photo { image, beside } => {
                Ok(self.core.view(snapshot, QuerySource::Image(image)).await?.with(beside))
            }
        }
    }

    /// A profile's weights; those of heads that have been retired since are left out.
    pub(super) async fn profile_weighting(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        name: String,
    ) -> Result<Weighting, Error> {
        let key = self.profile_key(caller, name).await?;
        let saved = self.core.profile(&key).await?.current.weights;
        let by_name = saved.into_iter().filter(|(head, _)| snapshot.column(head).is_some()).collect();
        Ok(Weighting::Profile { by_name })
    }
}

/// Whether a query has no more of something than it may.
pub(super) fn fits(field: &str, count: usize, limits: &Limits, faults: &mut Faults) -> bool {
    let most = limits.query_terms_max;
    if count > most {
        faults.refuse(field, format!("there are {count}; at most {most} are accepted"));
    }
    count <= most
}

fn manipulation(given: v1::Manipulation) -> Manipulation {
    let v1::Manipulation { attribute, label } = given;
    Manipulation { attribute, label }
}

/// Weights by names that are all there.
fn named_weights(snapshot: &Snapshot, given: v1::Weights) -> Result<Weighting, Error> {
    let v1::Weights { by_head, only_named } = given;
    Ok(Weighting::Named { by_name: head_weights(snapshot, &by_head, NAMED)?, only_named })
}

/// The plan that a request asks for: its hint, or the exact scan that it forces.
fn wanted_plan(exact: bool, hint: i32) -> Result<Option<PlanKind>, Error> {
    if exact {
        return Ok(Some(PlanKind::ExactScan));
    }
    match v1::PlanKind::try_from(hint) {
        Ok(v1::PlanKind::Unspecified) => Ok(None),
        Ok(v1::PlanKind::ExactScan) => Ok(Some(PlanKind::ExactScan)),
        Ok(v1::PlanKind::CodeScan) => Ok(Some(PlanKind::CodeScan)),
        Ok(v1::PlanKind::Hnsw) => Ok(Some(PlanKind::Hnsw)),
        Err(_) => Err(Error::invalid("plan", format!("{hint} is no plan; see PlanKind"))),
    }
}

/// What of an item with several images is compared.
fn picture_mode(asked: i32) -> Result<PictureMode, Error> {
    match v1::PictureMode::try_from(asked) {
        Ok(v1::PictureMode::Unspecified | v1::PictureMode::Nearest) => Ok(PictureMode::Nearest),
        Ok(v1::PictureMode::Mean) => Ok(PictureMode::Mean),
        Err(_) => Err(Error::invalid("pictures", format!("{asked} is no mode; see PictureMode"))),
    }
}

/// Facets of a page behind the first may name what has gone since: it was there when the pages began.
fn lenient(asked: Vec<v1::FacetRequest>, goes_on: bool) -> Vec<v1::FacetRequest> {
    let one =
        |asked: v1::FacetRequest| v1::FacetRequest { allow_unknown: asked.allow_unknown || goes_on, ..asked };
    asked.into_iter().map(one).collect()
}

/// Ends the checks of a request.
fn ended(faults: Faults, goes_on: bool) -> Result<(), Error> {
    if goes_on {
        check_page(&faults)?;
    }
    faults.end()
}

/// What the first page named was there. Heads have gone since, or labels with their last items.
pub(super) fn check_page(faults: &Faults) -> Result<(), Error> {
    if !faults.all().iter().any(|fault| matches!(fault, Fault::Unmet { .. })) {
        return Ok(());
    }
    let message = format!("what these pages ask for is not there any more ({faults}); search anew");
    Err(Error::Precondition { reason: "PAGE_EXPIRED", message })
}

pub(super) fn no_query() -> Error {
    Error::invalid("query", "set one of image, item_id and signatures")
}
