//! What becomes of the hits of a search: a ranked list, groups, a list of results that differ, or a page.

use super::diverse::{Diversity, diverse};
use super::group::{FoundGroup, Grouping, complete, groups};
use super::page::{self, Cursor, FoundPage, Paging};
use super::rounds::{Rounds, added};
use super::weights::QueryTerm;
use crate::error::Error;
use lapel_heads::Labels;
use lapel_search::{Plan, SignatureAnswer, SignatureHit, SignatureQuery};
use lapel_values::FieldValue;

/// Which results are wanted, and in what form.
pub(super) struct Shape {
    /// Results, or groups, to pass over.
    pub(super) offset: usize,
    /// Results, or groups, wanted behind them.
    pub(super) k: usize,
    pub(super) form: Form,
}

/// The forms of results.
pub(super) enum Form {
    /// The nearest ones.
    List,
    /// The nearest groups.
    Groups(Grouping),
    /// Of the nearest, those that differ.
    Diverse(Diversity),
    /// Those behind a cursor; with the labels that the query shows.
    Page(Paging, Labels),
}

/// The hits of all results.
pub(super) struct Shaped {
    /// In their order, group by group where there are groups.
    pub(super) hits: Vec<SignatureHit>,
    /// By group: its value, and how many of the hits are its.
    pub(super) groups: Option<Vec<(Option<FieldValue>, usize)>>,
    /// Where the next page begins.
    pub(super) next: Option<Cursor>,
    pub(super) plan: Plan,
}

impl Shape {
    /// Hits that the first round asks for, of a catalogue of `items`.
    pub(super) fn first_hits(&self, items: usize) -> usize {
        let window = self.offset.saturating_add(self.k);
        let most = items.max(1);
        match &self.form {
            Form::List => window.min(most),
            Form::Groups(_) => Grouping::first_hits(window).min(most),
            Form::Diverse(diversity) => diversity.pool.max(window).min(most),
            Form::Page(paging, _) => page::first_hits(paging, self.k).min(most),
        }
    }

    /// The results, from the answer of the first round of their query.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn results(
        self,
        rounds: &Rounds<'_>,
        (query, terms): (&SignatureQuery, &[QueryTerm]),
        first: SignatureAnswer,
    ) -> Result<Shaped, Error> {
        let Self { offset, k, form } = self;
        let window = offset.saturating_add(k);
        match form {
            Form::List => {
                let SignatureAnswer { hits, plan, items_passing: _ } = first;
                let hits = hits.into_iter().skip(offset).take(k).collect();
                Ok(Shaped { hits, groups: None, next: None, plan })
            }
            Form::Groups(grouping) => {
                let (found, plan) = groups(rounds, query, first, (&grouping, window))?;
                let mut found: Vec<FoundGroup> = found.into_iter().skip(offset).take(k).collect();
                let more = complete(rounds, query, &mut found, &grouping)?;
                let plan = more.map_or(plan, |more| added(plan, more));
                let groups = found.iter().map(|group| (group.value.clone(), group.hits.len())).collect();
                let hits = found.into_iter().flat_map(|group| group.hits).collect();
                Ok(Shaped { hits, groups: Some(groups), next: None, plan })
            }
            Form::Diverse(Diversity { relevance, pool: _ }) => {
                let SignatureAnswer { hits, plan, items_passing: _ } = first;
                let taken = diverse(rounds, &query.terms, hits, (relevance, window))?;
                let hits = taken.into_iter().skip(offset).collect();
                Ok(Shaped { hits, groups: None, next: None, plan })
            }
            Form::Page(paging, labels) => {
                let found = page::page(rounds, query, first, (paging.before.as_ref(), k))?;
                let FoundPage { hits, has_more, plan } = found;
                let last = hits.last().filter(|_| has_more && paging.wants_next);
                let next = last.map(|last| page::end(&paging, labels, (terms, last), k));
                Ok(Shaped { hits, groups: None, next, plan })
            }
        }
    }
}
