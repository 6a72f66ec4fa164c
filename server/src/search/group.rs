//! One result a product: the best groups of items that share a value, each with its best items.
//!
//! The hits of a round are the best of all items that are in no known group. A group that a round does not meet has
//! therefore nothing before the last hit of that round: groups are found in the order of their best items, and the first
//! ones found are the best of all that pass.

use super::Match;
use super::rounds::{Rounds, added};
use crate::error::Error;
use lapel_search::{Filter, Plan, SignatureAnswer, SignatureHit, SignatureQuery};
use lapel_values::{FieldKind, FieldValue};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Hits of the first round for each group that is wanted.
const HITS_A_GROUP: usize = 4;
/// Items of all wanted groups up to which one search brings all of them.
const MEMBERS_MAX: u64 = 4096;
/// Groups that are searched in one pass: as many queries as the engine's own passes share. Each has its own copy of the
/// filter, which may be large.
const PASS_GROUPS: usize = 8;

/// Results that share a value of a field are one group; an item without a value is a group of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// The field, of a kind that [`Grouping::takes`].
    pub field: String,
    /// Results a group, at least 1.
    pub results_max: usize,
}

impl Grouping {
    /// Whether values of a kind tell groups apart: an item has one of them, and several items share it.
    #[must_use]
    pub fn takes(kind: FieldKind) -> bool {
        match kind {
            FieldKind::Keyword | FieldKind::Integer | FieldKind::Boolean => true,
            FieldKind::Keywords | FieldKind::Number | FieldKind::Timestamp => false,
        }
    }

    /// Hits to ask for at first, for so many groups.
    pub(super) fn first_hits(groups: usize) -> usize {
        groups.saturating_mul(HITS_A_GROUP)
    }

    /// The value by which an item is grouped; the outer `None` where the snapshot has no such item.
    fn value(&self, rounds: &Rounds<'_>, id: &str) -> Option<Option<FieldValue>> {
        let item = rounds.snapshot.items().of_id(id)?;
        let value = item.field(&self.field);
        Some(value.filter(|value| Self::takes(value.kind())))
    }

    /// Items whose value is one of these.
    fn having(&self, values: Vec<FieldValue>) -> Filter {
        Filter::Field { field: self.field.clone(), any_of: values }
    }
}

/// Results that share a value.
#[derive(Clone, Debug)]
pub struct Group {
    /// The value; `None` for an item that has none.
    pub value: Option<FieldValue>,
    /// Best first.
    pub matches: Vec<Match>,
}

/// A group and its hits, best first.
pub(super) struct FoundGroup {
    pub(super) value: Option<FieldValue>,
    pub(super) hits: Vec<SignatureHit>,
}

/// The first `wanted` groups, or more, best first, each with those of its hits that the rounds met: its best ones.
///
/// # Errors
/// Those of the engine.
pub(super) fn groups(
    rounds: &Rounds<'_>,
    query: &SignatureQuery,
    first: SignatureAnswer,
    (grouping, wanted): (&Grouping, usize),
) -> Result<(Vec<FoundGroup>, Plan), Error> {
    let SignatureAnswer { hits, mut plan, items_passing: _ } = first;
    let mut known = Known { grouping, found: Vec::new(), by_value: BTreeMap::new(), others: Vec::new() };
    let mut asked = query.k;
    let mut was_full = hits.len() >= asked;
    known.take(rounds, hits);
    while was_full && known.found.len() < wanted && !rounds.is_abandoned() {
        asked = rounds.at_most_all(asked.saturating_mul(2));
        let answer = rounds.search(&known.left_out_of(query, asked))?;
        was_full = answer.hits.len() >= asked;
        plan = added(plan, answer.plan);
        known.take(rounds, answer.hits);
    }
    // A plan that is not exact may bring in a later round what it passed over before.
    known.found.sort_by(by_best);
    Ok((known.found, plan))
}

fn by_best(a: &FoundGroup, b: &FoundGroup) -> Ordering {
    match (a.hits.first(), b.hits.first()) {
        (Some(a), Some(b)) => a.distance.total_cmp(&b.distance).then_with(|| a.id.cmp(&b.id)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// Brings each group to the number of results that is wanted, where it has so many; returns what that took.
///
/// # Errors
/// Those of the engine.
pub(super) fn complete(
    rounds: &Rounds<'_>,
    query: &SignatureQuery,
    groups: &mut [FoundGroup],
    grouping: &Grouping,
) -> Result<Option<Plan>, Error> {
    let lacks = |group: &&FoundGroup| group.hits.len() < grouping.results_max;
    let values: Vec<FieldValue> =
        groups.iter().filter(lacks).filter_map(|group| group.value.clone()).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let mut places = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        if let Some(value) = &group.value {
            places.insert(value.clone(), at);
        }
    }
    let mut plan: Option<Plan> = None;
    for answer in members(rounds, query, values, grouping)? {
        plan = Some(plan.map_or(answer.plan, |plan| added(plan, answer.plan)));
        for hit in answer.hits {
            let place = grouping.value(rounds, &hit.id).flatten().and_then(|value| places.get(&value));
            if let Some(group) = place.and_then(|at| groups.get_mut(*at)) {
                group.hits.push(hit);
            }
        }
    }
    for group in &mut *groups {
        group.hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.id.cmp(&b.id)));
        group.hits.dedup_by(|a, b| a.id == b.id);
        group.hits.truncate(grouping.results_max);
    }
    groups.sort_by(by_best);
    Ok(plan)
}

/// The best items of each of these values: of few items all at once, else of each value by itself.
fn members(
    rounds: &Rounds<'_>,
    query: &SignatureQuery,
    values: Vec<FieldValue>,
    grouping: &Grouping,
) -> Result<Vec<SignatureAnswer>, Error> {
    let of = |values: Vec<FieldValue>, k: usize| SignatureQuery {
        filter: query.filter.clone().and(grouping.having(values)),
        k,
        ..query.clone()
    };
    let mut together = of(values.clone(), 1);
    let count = rounds.snapshot.items().count(&together.filter);
    if count <= MEMBERS_MAX {
        together.k = (count as usize).max(1);
        return Ok(vec![rounds.search(&together)?]);
    }
    let mut answers = Vec::with_capacity(values.len());
    let mut values = values.into_iter();
    loop {
        let pass = values.by_ref().take(PASS_GROUPS).map(|value| of(vec![value], grouping.results_max));
        let pass: Vec<SignatureQuery> = pass.collect();
        if pass.is_empty() || rounds.is_abandoned() {
            return Ok(answers);
        }
        answers.extend(rounds.search_all(&pass)?);
    }
}

/// Groups that were met so far.
struct Known<'g> {
    grouping: &'g Grouping,
    /// In the order in which they were met, which is that of their best items.
    found: Vec<FoundGroup>,
    by_value: BTreeMap<FieldValue, usize>,
    /// Ids of items that further rounds leave out by themselves: those without a value, and those that the snapshot does
    /// not have.
    others: Vec<String>,
}

impl Known<'_> {
    /// Takes in the hits of a round, best first.
    fn take(&mut self, rounds: &Rounds<'_>, hits: Vec<SignatureHit>) {
        for hit in hits {
            let Some(value) = self.grouping.value(rounds, &hit.id) else {
                self.others.push(hit.id.to_string());
                continue;
            };
            let Some(value) = value else {
                self.others.push(hit.id.to_string());
                self.found.push(FoundGroup { value: None, hits: vec![hit] });
                continue;
            };
            let place = self.by_value.get(&value).copied();
            match place.and_then(|at| self.found.get_mut(at)) {
                Some(group) if group.hits.len() < self.grouping.results_max => group.hits.push(hit),
                Some(_) => {}
                None => {
                    self.by_value.insert(value.clone(), self.found.len());
                    self.found.push(FoundGroup { value: Some(value), hits: vec![hit] });
                }
            }
        }
    }

    /// The same query of what is in none of these groups.
    fn left_out_of(&self, query: &SignatureQuery, k: usize) -> SignatureQuery {
        let known = self.grouping.having(self.by_value.keys().cloned().collect());
        let filter = query.filter.clone().and(Filter::None(vec![known]));
        let exclude = query.exclude.iter().chain(&self.others).cloned().collect();
        SignatureQuery { filter, exclude, k, ..query.clone() }
    }
}
