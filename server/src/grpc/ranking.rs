//! What a SearchRequest says of the form of its results: groups, diversity, an offset, pages.

use super::page_token;
use crate::catalogue::Snapshot;
use crate::config::Config;
use crate::error::{Error, Faults};
use crate::search::{Diversity, Grouping, Paging, checked_field};
use crate::store::ContentId;
use lapel_proto::v1;
use prost::Message;

/// How many times more results than are wanted diversity chooses from, where the request leaves it open.
const POOL_DEFAULT: u32 = 4;

/// Which page is asked for, taken out of a request.
pub(super) struct Pages {
    token: Vec<u8>,
    wants_next: bool,
    /// The mark of all else that the request says, but for its query: pages of one search have the same.
    request: ContentId,
}

impl Pages {
    /// Takes the query out as well: a page behind the first does not need it.
    pub(super) fn taken(request: &mut v1::SearchRequest) -> (Option<v1::Query>, Self) {
        let query = request.query.take();
        let token = std::mem::take(&mut request.page_token);
        let wants_next = std::mem::take(&mut request.paged);
        let request = ContentId::of(&request.encode_to_vec());
        (query.filter(|_| token.is_empty()), Self { token, wants_next, request })
    }

    /// Whether this is a page behind the first, which says by itself what is searched for.
    pub(super) fn goes_on(&self) -> bool {
        !self.token.is_empty()
    }

    fn is_asked_for(&self) -> bool {
        self.wants_next || self.goes_on()
    }
}

/// The fields about the form of results.
pub(super) struct Ranking {
    pub(super) group_by: Option<v1::Grouping>,
    pub(super) diversity: Option<v1::Diversity>,
    pub(super) offset: u32,
    /// Results, or groups, wanted.
    pub(super) k: u32,
    pub(super) pages: Pages,
}

/// The same, converted and checked.
pub(super) struct Ranked {
    pub(super) grouping: Option<Grouping>,
    pub(super) diversity: Option<Diversity>,
    pub(super) offset: usize,
    pub(super) paging: Option<Paging>,
}

impl Ranking {
    /// Notes all faults; what is faulty is left out.
    ///
    /// # Errors
    /// Whatever is no fault of the request.
    pub(super) fn check(
        self,
        snapshot: &Snapshot,
        config: &Config,
        faults: &mut Faults,
    ) -> Result<Ranked, Error> {
        let Self { group_by, diversity, offset, k, pages } = self;
        let window = offset as usize + k as usize;
        let window_max = config.limits.window_max;
        if offset > 0 && window > window_max {
            let given = format!("offset and k are {window} together; at most {window_max} are accepted");
            faults.refuse("offset", given);
        }
        if group_by.is_some() && diversity.is_some() {
            faults.refuse("diversity", "results are grouped, or they differ; set group_by or diversity");
        }
        let is_list = group_by.is_none() && diversity.is_none() && offset == 0;
        if pages.is_asked_for() && !is_list {
            let field = if pages.goes_on() { "page_token" } else { "paged" };
            faults.refuse(
                field,
                "there are pages of a plain search alone: without group_by, diversity and offset",
            );
        }
        let paging = if pages.is_asked_for() { paging(pages, k, window_max, faults)? } else { None };
        Ok(Ranked {
            grouping: group_by.and_then(|given| grouping(given, k, (snapshot, config), faults)),
            diversity: diversity.and_then(|given| self::diversity(given, (k, offset), config, faults)),
            offset: offset as usize,
            paging,
        })
    }
}

fn paging(pages: Pages, k: u32, window_max: usize, faults: &mut Faults) -> Result<Option<Paging>, Error> {
    let Pages { token, wants_next, request } = pages;
    if token.is_empty() {
        return Ok(Some(Paging { request, before: None, wants_next }));
    }
    let Some(before) = faults.gather("page_token", page_token::read(&token, request))? else {
        return Ok(None);
    };
    let reach = before.seen.saturating_add(k as usize);
    if reach > window_max {
        let reach = format!("the page would reach to result {reach}; pages go to {window_max} and end here");
        faults.refuse("page_token", reach);
    }
    Ok(Some(Paging { request, before: Some(before), wants_next }))
}

fn grouping(
    given: v1::Grouping,
    k: u32,
    (snapshot, config): (&Snapshot, &Config),
    faults: &mut Faults,
) -> Option<Grouping> {
    let v1::Grouping { field, results_max } = given;
    let limits = &config.limits;
    // 0 stands for the one result that a group has at least.
    let results_max = results_max.max(1) as usize;
    let (most, all, window) = (limits.group_results_max, results_max * k as usize, limits.window_max);
    if results_max > most {
        let given = format!("{results_max} results a group are asked for; at most {most} are given");
        faults.refuse("group_by.results_max", given);
    } else if all > window {
        let given = format!("{k} groups of {results_max} results are {all}; at most {window} are given");
        faults.refuse("group_by.results_max", given);
    }
    if field.is_empty() {
        faults.refuse("group_by.field", "name a field");
        return None;
    }
    let place = ("group_by.field", field.as_str());
    let kind = checked_field(snapshot, &config.catalog.fields, place, faults)?;
    if !Grouping::takes(kind) {
        let wanted = "groups are made by a field of kind keyword, integer or boolean";
        faults.refuse("group_by.field", format!("{field:?} is of kind {kind}; {wanted}"));
        return None;
    }
    Some(Grouping { field, results_max })
}

fn diversity(
    given: v1::Diversity,
    (k, offset): (u32, u32),
    config: &Config,
    faults: &mut Faults,
) -> Option<Diversity> {
    let v1::Diversity { relevance, pool } = given;
    let most = config.limits.k_max;
    let window = offset.saturating_add(k);
    if !(0.0..=1.0).contains(&relevance) {
        faults.refuse("diversity.relevance", format!("{relevance} is given; 0 to 1 is accepted"));
    }
    let pool = if pool == 0 { window.saturating_mul(POOL_DEFAULT).min(most) } else { pool };
    if pool < k || pool > most {
        let given =
            format!("{pool} results to choose from; at least k, {k}, and at most {most} are accepted");
        faults.refuse("diversity.pool", given);
    } else if pool < window {
        let given = format!("offset and k are {window} together; there are {pool} results to choose from");
        faults.refuse("offset", given);
    }
    Some(Diversity { relevance, pool: pool as usize })
}
