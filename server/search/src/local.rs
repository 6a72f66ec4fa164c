//! Signatures in this process's memory: the first engine behind [`Signatures`].

use crate::allowed::Allowed;
use crate::plan;
use crate::scan::Hit;
use crate::terms::{BoundTerm, Query};
use crate::{
    Budget, Change, Filter, ItemIndex, ItemRows, NewSignatures, Plan, PredictionIndex, Replaced,
    SignatureAnswer, SignatureColumn, SignatureHit, SignatureQuery, Signatures, SignaturesError, Slot,
};
use lapel_values::ItemFacts;
use rayon::prelude::*;
use std::sync::Arc;

/// Columns over items that share their slots. Cloning is cheap, and a clone never changes with the original.
#[derive(Clone, Default)]
pub struct LocalSignatures {
    items: ItemIndex,
    columns: Vec<SignatureColumn>,
}

impl LocalSignatures {
    /// Ids, labels and fields of the items, by slot.
    #[must_use]
    pub fn items(&self) -> &ItemIndex {
        &self.items
    }

    /// The index of predicted labels, for whoever computes them.
    pub fn predictions_mut(&mut self) -> &mut PredictionIndex {
        self.items.predictions_mut()
    }

    /// Takes items in before there is any column.
    pub fn load_items(&mut self, items: ItemIndex) {
        self.items = items;
    }

    /// The columns, in the order in which they were added.
    #[must_use]
    pub fn columns(&self) -> &[SignatureColumn] {
        &self.columns
    }

    /// The column with a key.
    #[must_use]
    pub fn column(&self, key: &str) -> Option<&SignatureColumn> {
        self.columns.iter().find(|column| &**column.key() == key)
    }

    fn column_mut(&mut self, key: &str) -> Option<&mut SignatureColumn> {
        self.columns.iter_mut().find(|column| &**column.key() == key)
    }

    /// Adds a column, or replaces the one with its key.
    pub fn add_column(&mut self, column: SignatureColumn) {
        match self.column_mut(column.key()) {
            Some(there) => *there = column,
            None => self.columns.push(column),
        }
    }

    /// Drops a column.
    pub fn drop_column(&mut self, key: &str) {
        self.columns.retain(|column| &**column.key() != key);
    }

    /// Replaces one signature, and returns the one before; `None` where there is no such column.
    pub fn sign(&mut self, key: &str, slot: Slot, signature: &[f32]) -> Option<Option<Vec<f32>>> {
        Some(self.column_mut(key)?.set(slot, Some(signature)))
    }

    /// As [`Signatures::apply`], of signatures that have their columns' dimensions.
    pub fn write(&mut self, changes: &[Change<'_>]) -> Vec<Replaced> {
        let place = |change: &Change<'_>| match change.after {
            Some(after) => Some(self.items.put(change.id, change.before, after)),
            None => self.items.remove(change.id, change.before),
        };
        let slots: Vec<Option<Slot>> = changes.iter().map(place).collect();
        // Columns are independent, and are written side by side.
        let of_column = |column: &mut SignatureColumn| {
            let one = |(change, slot): (&Change<'_>, &Option<Slot>)| write(column, change, (*slot)?);
            let signatures = changes.iter().zip(&slots).map(one).collect();
            Replaced { column: column.key().clone(), signatures }
        };
        self.columns.par_iter_mut().map(of_column).collect()
    }

    /// Takes over codes that were made from `before`, an earlier state of a column; false when the column is gone.
    pub fn adopt_codes(&mut self, before: &SignatureColumn, coded: &SignatureColumn) -> bool {
        self.column_mut(before.key()).map(|column| column.adopt(before, coded)).is_some()
    }

    /// Moves the item of a slot, which has these labels and fields, and its signatures to a free slot.
    pub fn shift(&mut self, slots: (Slot, Slot), facts: ItemFacts<'_>) {
        self.items.shift(slots, facts);
        self.columns.iter_mut().for_each(|column| column.shift(slots));
    }

    /// Gives back the memory behind the last item, and returns how many blocks are left.
    pub fn truncate(&mut self) -> usize {
        let blocks = self.items.truncate();
        self.columns.iter_mut().for_each(|column| column.truncate(blocks));
        blocks
    }

    /// A query beside what it is about. Of one that is abandoned the filter, which is work on the whole catalogue, too, is not
    /// looked at: nothing passes.
    fn bind<'a>(
        &'a self,
        query: &'a SignatureQuery,
        is_abandoned: bool,
    ) -> Result<Query<'a>, SignaturesError> {
        let SignatureQuery { terms, filter, exclude, k, distance_max, plan, with_terms: _ } = query;
        let bound = terms.iter().map(|term| {
            let column = self.column(&term.column);
            let column = column.ok_or_else(|| SignaturesError::UnknownColumn(term.column.to_string()))?;
            check_dimension(column, &term.vector)?;
            Ok(BoundTerm::new(column, term))
        });
        let terms = bound.collect::<Result<Vec<_>, SignaturesError>>()?;
        if terms.is_empty() {
            return Err(SignaturesError::NoTerms);
        }
        let nothing = Filter::Any(Vec::new());
        Ok(Query {
            terms,
            allowed: Allowed::new(&self.items, if is_abandoned { &nothing } else { filter }, exclude),
            k: *k,
            distance_max: distance_max.unwrap_or(f64::INFINITY),
            wanted: *plan,
        })
    }
}

impl Signatures for LocalSignatures {
    fn search(
        &self,
        queries: &[SignatureQuery],
        budget: &Budget<'_>,
    ) -> Vec<Result<SignatureAnswer, SignaturesError>> {
        let (mut ready, mut answers) = (Vec::new(), Vec::with_capacity(queries.len()));
        for (at, query) in queries.iter().enumerate() {
            match self.bind(query, (budget.is_abandoned)()) {
                Ok(bound) => ready.push((at, bound)),
                Err(error) => answers.push((at, Err(error))),
            }
        }
        let (places, ready): (Vec<usize>, Vec<Query<'_>>) = ready.into_iter().unzip();
        let found = plan::run(&ready, budget);
        for ((at, bound), (hits, plan)) in places.into_iter().zip(&ready).zip(found) {
            answers.push((at, Ok(answer(bound, queries[at].with_terms, hits, plan))));
        }
        answers.sort_unstable_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn rows(&self, ids: &[&str], columns: &[&str]) -> Result<ItemRows<'_>, SignaturesError> {
        let column =
            |key: &&str| self.column(key).ok_or_else(|| SignaturesError::UnknownColumn((*key).to_owned()));
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let of_item = |id: &&str| {
            let slot = self.items.slot(id);
            columns.iter().map(|column| column.get(slot?)).collect()
        };
        Ok(ids.iter().map(of_item).collect())
    }

    fn apply(&mut self, changes: &[Change<'_>]) -> Result<Vec<Replaced>, SignaturesError> {
        for change in changes {
            let (NewSignatures::Only(given) | NewSignatures::Also(given)) = change.signatures;
            for (key, values) in given {
                self.column(key).map_or(Ok(()), |column| check_dimension(column, values))?;
            }
        }
        Ok(self.write(changes))
    }
}

fn check_dimension(column: &SignatureColumn, vector: &[f32]) -> Result<(), SignaturesError> {
    if vector.len() == column.dim() {
        return Ok(());
    }
    let (found, wanted) = (vector.len(), column.dim());
    Err(SignaturesError::Dimension { column: column.key().to_string(), found, wanted })
}

fn relabels(change: &Change<'_>) -> bool {
    change.before.map(|facts| facts.labels) != change.after.map(|facts| facts.labels)
}

/// Applies a change to one column, and returns what its slot held.
fn write(column: &mut SignatureColumn, change: &Change<'_>, slot: Slot) -> Option<Vec<f32>> {
    let (NewSignatures::Only(given) | NewSignatures::Also(given)) = change.signatures;
    let given = given.iter().find(|(key, _)| **key == **column.key()).map(|(_, values)| values.as_slice());
    match (change.signatures, given) {
        // An update of a price copies no signature.
        (NewSignatures::Also(_), None) if !relabels(change) => None,
        (NewSignatures::Also(_), None) => column.get(slot).map(std::borrow::Cow::into_owned),
        (NewSignatures::Only(_) | NewSignatures::Also(_), given) => column.set(slot, given),
    }
}

fn answer(query: &Query<'_>, with_terms: bool, hits: Vec<Hit<'_>>, plan: Plan) -> SignatureAnswer {
    let hit = |hit: Hit<'_>| {
        let terms =
            query.terms.iter().filter(|_| with_terms).map(|term| term.term_distance(hit.slot)).collect();
        SignatureHit { id: Arc::clone(hit.id), distance: hit.distance, terms }
    };
    SignatureAnswer { hits: hits.into_iter().map(hit).collect(), plan }
}

#[cfg(test)]
mod tests;
