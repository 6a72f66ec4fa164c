//! Further searches of one query, where its first hits do not suffice.

use crate::catalogue::Snapshot;
use crate::error::Error;
use lapel_search::{Budget, Plan, SignatureAnswer, SignatureQuery, Signatures, SignaturesError};

/// What the rounds of a search are run with.
#[derive(Clone, Copy)]
pub(super) struct Rounds<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) signatures: &'a dyn Signatures,
    pub(super) budget: Budget<'a>,
}

impl Rounds<'_> {
    /// Answers one query.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) fn search(&self, query: &SignatureQuery) -> Result<SignatureAnswer, Error> {
        let mut answers = self.signatures.search(std::slice::from_ref(query), &self.budget).into_iter();
        let answer = answers.next().ok_or_else(|| Error::Internal("a search without an answer".into()))?;
        answer.map_err(Error::from)
    }

    /// Answers several queries, which share the pass over memory.
    ///
    /// # Errors
    /// The first one of the engine.
    pub(super) fn search_all(&self, queries: &[SignatureQuery]) -> Result<Vec<SignatureAnswer>, Error> {
        let answers = self.signatures.search(queries, &self.budget).into_iter();
        answers.collect::<Result<_, SignaturesError>>().map_err(Error::from)
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        (self.budget.is_abandoned)()
    }

    /// So many hits, or as many as there are items.
    pub(super) fn at_most_all(&self, hits: usize) -> usize {
        hits.clamp(1, self.snapshot.items().len().max(1))
    }
}

/// What two rounds did together, of the kind of the first.
pub(super) fn added(first: Plan, second: Plan) -> Plan {
    Plan {
        kind: first.kind,
        scanned: first.scanned + second.scanned,
        rescored: first.rescored + second.rescored,
        missing: first.missing + second.missing,
    }
}
