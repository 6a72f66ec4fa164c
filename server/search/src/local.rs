//! Signatures in this process's memory: the first engine behind [`Signatures`].

use crate::allowed::Allowed;
use crate::best::Hit;
use crate::passing::passing;
use crate::pictures::PictureSlots;
use crate::plan;
use crate::terms::{BoundTerm, Query};
use crate::{
    Budget, Change, Filter, ItemIndex, ItemRows, NewSignatures, PictureMode, Plan, PlanKind, PredictionIndex,
    Replaced, SignatureAnswer, SignatureColumn, SignatureHit, SignatureQuery, Signatures, SignaturesError,
    Slot,
};
use lapel_values::ItemFacts;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Columns over items that share their slots. Cloning is cheap, and a clone never changes with the original.
#[derive(Clone, Default)]
pub struct LocalSignatures {
    items: ItemIndex,
    columns: Vec<SignatureColumn>,
}

/// Where a signature could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagedSlot {
    /// The own signature of an item.
    Item(Slot),
    /// That of a picture, by its number, of an item that has several.
    Picture {
        /// The item's slot.
        item: Slot,
        /// The picture's number.
        number: u32,
    },
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

    /// Replaces one signature of an item, and returns the one before; `None` where there is no such column.
    pub fn sign(&mut self, key: &str, slot: Slot, signature: &[f32]) -> Option<Option<Vec<f32>>> {
        let pictures = self.items.pictures().of_item(slot).to_vec();
        let column = self.column_mut(key)?;
        let before = column.set(slot, Some(signature));
        column.lend(slot, &pictures);
        Some(before)
    }

    /// Replaces one signature of a picture of an item that has several; false where there is no such column or picture.
    pub fn sign_picture(&mut self, key: &str, (item, number): (Slot, usize), signature: &[f32]) -> bool {
        let Some(slot) = self.items.pictures().of_item(item).get(number).copied() else { return false };
        self.column_mut(key).map(|column| column.set_picture(slot, signature)).is_some()
    }

    /// As [`Signatures::apply`], of signatures that have their columns' dimensions.
    pub fn write(&mut self, changes: &[Change<'_>]) -> Vec<Replaced> {
        let place = |change: &Change<'_>| {
            let slot = match change.after {
                Some(after) => self.items.put(change.id, change.before, after),
                None => self.items.remove(change.id, change.before)?,
            };
            let pictures = match change.signatures {
                NewSignatures::Only(_) => {
                    let count = change.after.map_or(0, |facts| facts.pictures);
                    self.items.resize_pictures(slot, count)
                }
                NewSignatures::Also(_) => {
                    let now = self.items.pictures().of_item(slot).to_vec();
                    PictureSlots { now, freed: Vec::new() }
                }
            };
            Some((slot, pictures))
        };
        let slots: Vec<Option<(Slot, PictureSlots)>> = changes.iter().map(place).collect();
        // Columns are independent, and are written side by side.
        let of_column = |column: &mut SignatureColumn| {
            let one = |(change, slots): (&Change<'_>, &Option<(Slot, PictureSlots)>)| {
                let (slot, pictures) = slots.as_ref()?;
                write(column, change, (*slot, pictures))
            };
            let signatures = changes.iter().zip(&slots).map(one).collect();
            Replaced { column: column.key().clone(), signatures }
        };
        self.columns.par_iter_mut().map(of_column).collect()
    }

    /// Takes over codes that were made from `before`, an earlier state of a column; false when the column is gone.
    pub fn adopt_codes(&mut self, before: &SignatureColumn, coded: &SignatureColumn) -> bool {
        self.column_mut(before.key()).map(|column| column.adopt(before, coded)).is_some()
    }

    /// Takes over where `spilled`, which was made from `before`, an earlier state of a column, has its rows; false when the column
    /// is gone.
    pub fn adopt_rows(&mut self, before: &SignatureColumn, spilled: &SignatureColumn) -> bool {
        self.column_mut(before.key()).map(|column| column.adopt_rows(before, spilled)).is_some()
    }

    /// Writes the signatures of up to `most` groups of 64 items of a column, and as many of pictures, anew of which one could
    /// not be read: what `find` has by slot, of an item or of a picture, or none. A picture that borrows its item's signature
    /// borrows it again, once all of those can be read. Returns whether all can.
    ///
    /// # Errors
    /// Those of `find`; some may have been written.
    pub fn mend<E>(
        &mut self,
        key: &str,
        most: usize,
        mut find: impl FnMut(DamagedSlot) -> Result<Option<Vec<f32>>, E>,
    ) -> Result<bool, E> {
        let Some(column) = self.columns.iter_mut().find(|column| &**column.key() == key) else {
            return Ok(true);
        };
        if !column.mend(most, |slot| find(DamagedSlot::Item(slot)))? {
            return Ok(false);
        }
        let lent = column.clone();
        let pictures = self.items.pictures();
        column.mend_pictures(most, |slot| match pictures.place(slot) {
            Some(place) if !lent.has_picture(slot) => Ok(lent.get(place.item).map(Cow::into_owned)),
            Some(place) => find(DamagedSlot::Picture { item: place.item, number: place.number }),
            None => Ok(None),
        })
    }

    /// How often a signature could not be read. What was computed while this grew is of no use.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.columns.iter().map(SignatureColumn::faults).sum()
    }

    /// Moves the item of a slot, which has these labels and fields, and its signatures to a free slot.
    pub fn shift(&mut self, slots: (Slot, Slot), facts: ItemFacts<'_>) {
        self.items.shift(slots, facts);
        self.columns.iter_mut().for_each(|column| column.shift(slots));
    }

    /// Moves a picture and its signatures to a free slot.
    pub fn shift_picture(&mut self, slots: (Slot, Slot)) {
        self.items.shift_picture(slots);
        self.columns.iter_mut().for_each(|column| column.shift_picture(slots));
    }

    /// Gives back the memory behind the last item and the last picture, and returns how many blocks of items are left.
    pub fn truncate(&mut self) -> usize {
        let (blocks, of_pictures) = (self.items.truncate(), self.items.truncate_pictures());
        for column in &mut self.columns {
            column.truncate(blocks);
            column.truncate_pictures(of_pictures);
        }
        blocks
    }

    /// What runs for a query: one pass over items, and where pictures count one over those of items that have several. Of a query that is abandoned the filter, which is work on the whole catalogue, too, is not looked at:
    /// nothing passes.
    fn bind<'a>(
        &'a self,
        query: &'a SignatureQuery,
        is_abandoned: bool,
    ) -> Result<Vec<Query<'a>>, SignaturesError> {
        let SignatureQuery { terms, filter, pictures, exclude, k, distance_max, plan, with_terms: _ } = query;
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
        let distance_max = distance_max.unwrap_or(f64::INFINITY);
        let nothing = Filter::Any(Vec::new());
        let passing = passing(&self.items, if is_abandoned { &nothing } else { filter });
        let (items, passing) = (&self.items, passing.as_deref());
        let items_passing = passing.map_or(items.len() as u64, RoaringBitmap::len);
        let of = |terms, allowed| Query { terms, allowed, items_passing, k: *k, distance_max, wanted: *plan };
        match pictures {
            PictureMode::Nearest if !items.pictures().is_empty() => {
                let of_pictures = terms.iter().map(BoundTerm::of_pictures).collect();
                let own = Allowed::items(items, passing, exclude);
                let several = Allowed::pictures(items, passing, exclude);
                Ok(vec![of(terms, own), of(of_pictures, several)])
            }
            PictureMode::Nearest | PictureMode::Mean => {
                Ok(vec![of(terms, Allowed::items(items, passing, exclude))])
            }
        }
    }
}

impl Signatures for LocalSignatures {
    fn search(
        &self,
        queries: &[SignatureQuery],
        budget: &Budget<'_>,
    ) -> Vec<Result<SignatureAnswer, SignaturesError>> {
        let faults = self.faults();
        let mut answers: Vec<Option<Result<SignatureAnswer, SignaturesError>>> =
            queries.iter().map(|_| None).collect();
        let mut ready = Vec::with_capacity(queries.len());
        for (at, query) in queries.iter().enumerate() {
            match self.bind(query, (budget.is_abandoned)()) {
                Ok(bound) => ready.extend(bound.into_iter().map(|bound| (at, bound))),
                Err(error) => answers[at] = Some(Err(error)),
            }
        }
        let (places, ready): (Vec<usize>, Vec<Query<'_>>) = ready.into_iter().unzip();
        let found = plan::run(&ready, budget);
        for ((at, bound), (hits, plan)) in places.into_iter().zip(&ready).zip(found) {
            let found = answer(bound, queries[at].with_terms, hits, plan);
            answers[at] = Some(Ok(match answers[at].take() {
                Some(Ok(others)) => merged(others, found, queries[at].k),
                Some(Err(_)) | None => found,
            }));
        }
        if self.faults() != faults {
            return queries.iter().map(|_| Err(SignaturesError::Unreadable)).collect();
        }
        answers.into_iter().flatten().collect()
    }

    fn rows(&self, ids: &[&str], columns: &[&str]) -> Result<ItemRows<'_>, SignaturesError> {
        let column =
            |key: &&str| self.column(key).ok_or_else(|| SignaturesError::UnknownColumn((*key).to_owned()));
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let of_item = |id: &&str| {
            let slot = self.items.slot(id);
            columns.iter().map(|column| column.get(slot?)).collect()
        };
        let faults = self.faults();
        let rows = ids.iter().map(of_item).collect();
        if self.faults() == faults { Ok(rows) } else { Err(SignaturesError::Unreadable) }
    }

    fn apply(&mut self, changes: &[Change<'_>]) -> Result<Vec<Replaced>, SignaturesError> {
        for change in changes {
            let (NewSignatures::Only(given) | NewSignatures::Also(given)) = change.signatures;
            for (key, values) in given.iter().chain(change.pictures.iter().flatten()) {
                self.column(key).map_or(Ok(()), |column| check_dimension(column, values))?;
            }
        }
        let (before, faults) = (self.clone(), self.faults());
        let replaced = self.write(changes);
        if self.faults() != faults {
            *self = before;
            return Err(SignaturesError::Unreadable);
        }
        Ok(replaced)
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

/// The signature of a column among some.
fn signature_of<'s>(given: &'s [(String, Vec<f32>)], key: &str) -> Option<&'s [f32]> {
    given.iter().find(|(of, _)| of == key).map(|(_, values)| values.as_slice())
}

/// Applies a change to one column, and returns what the item's own slot held.
fn write(
    column: &mut SignatureColumn,
    change: &Change<'_>,
    (slot, pictures): (Slot, &PictureSlots),
) -> Option<Vec<f32>> {
    let key = column.key().clone();
    let (NewSignatures::Only(given) | NewSignatures::Also(given)) = change.signatures;
    let given = signature_of(given, &key);
    match (change.signatures, given) {
        // An update of a price copies no signature.
        (NewSignatures::Also(_), None) if !relabels(change) => None,
        (NewSignatures::Also(_), None) => column.get(slot).map(Cow::into_owned),
        (NewSignatures::Also(_), Some(given)) => {
            let before = column.set(slot, Some(given));
            column.lend(slot, &pictures.now);
            before
        }
        (NewSignatures::Only(_), given) => {
            let before = column.set(slot, given);
            column
                .replace_pictures(slot, pictures, |number| signature_of(change.pictures.get(number)?, &key));
            before
        }
    }
}

/// The best of two answers; of an item that is in both, the nearer hit.
fn merged(first: SignatureAnswer, second: SignatureAnswer, k: usize) -> SignatureAnswer {
    let (a, b) = (first.plan, second.plan);
    let mut hits = first.hits;
    hits.extend(second.hits);
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.id.cmp(&b.id)));
    let mut met = HashSet::new();
    hits.retain(|hit| met.insert(Arc::clone(&hit.id)));
    hits.truncate(k);
    let plan = Plan {
        // That of the larger part; an index looks at few items of many.
        kind: if a.kind != PlanKind::Hnsw && b.scanned > a.scanned { b.kind } else { a.kind },
        scanned: a.scanned + b.scanned,
        rescored: a.rescored + b.rescored,
        missing: a.missing + b.missing,
    };
    SignatureAnswer { hits, plan, items_passing: first.items_passing }
}

fn answer(query: &Query<'_>, with_terms: bool, hits: Vec<Hit<'_>>, plan: Plan) -> SignatureAnswer {
    let hit = |hit: Hit<'_>| {
        let terms =
            query.terms.iter().filter(|_| with_terms).map(|term| term.term_distance(hit.slot)).collect();
        SignatureHit { id: Arc::clone(hit.id), distance: hit.distance, picture: hit.picture, terms }
    };
    SignatureAnswer { hits: hits.into_iter().map(hit).collect(), plan, items_passing: query.items_passing }
}

#[cfg(test)]
mod tests;
