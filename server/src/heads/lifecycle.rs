//! The states of a head and the one function that moves between them.

/// States of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadState {
    /// Its bundle is being received.
    Registering,
    /// Its bundle is being checked.
    Validating,
    /// It is durable; its backfill has not begun.
    Warming,
    /// Signatures of the stored items are being computed.
    Backfilling,
    /// Whole and kept up to date by every write, but not serving: an update that waits to be promoted, or the version
    /// before, kept for a roll-back.
    Standby,
    /// It serves.
    Active,
    /// No new query uses it; its data is being deleted.
    Draining,
    /// Gone.
    Retired,
    /// It could not be made to serve, with the reason.
    Failed(String),
}

/// What happens to a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadEvent {
    /// The whole bundle has arrived.
    Received,
    /// The bundle is sound and durable.
    Validated,
    /// The backfill has begun.
    BackfillStarted,
    /// Every item has been tried.
    BackfillDone,
    /// It is to serve.
    Promote,
    /// Another version serves in its place.
    Relieve,
    /// It is to go.
    Retire,
    /// Its data is deleted.
    Drained,
    /// Something went wrong, with the reason.
    Fail(String),
}

/// A step that a head's state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head that is {state} cannot take this step")]
pub struct LifecycleError {
    /// The state's name.
    pub state: &'static str,
}

impl HeadState {
    /// The state after an event.
    ///
    /// # Errors
    /// [`LifecycleError`] for a step that the state does not allow.
    pub fn next(&self, event: HeadEvent) -> Result<Self, LifecycleError> {
        use HeadEvent as E;
        use HeadState as S;
        match (self, event) {
            (S::Registering, E::Received) => Ok(S::Validating),
            (S::Validating, E::Validated) => Ok(S::Warming),
            (S::Warming, E::BackfillStarted) => Ok(S::Backfilling),
            (S::Backfilling, E::BackfillDone) | (S::Active, E::Relieve) => Ok(S::Standby),
            (S::Standby, E::Promote) => Ok(S::Active),
            (S::Active | S::Standby | S::Backfilling | S::Warming | S::Failed(_), E::Retire) => {
                Ok(S::Draining)
            }
            (S::Draining, E::Drained) => Ok(S::Retired),
            (
                S::Registering | S::Validating | S::Warming | S::Backfilling | S::Standby | S::Active,
                E::Fail(reason),
            ) => Ok(S::Failed(reason)),
            (state, _) => Err(LifecycleError { state: state.name() }),
        }
    }

    /// The state's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registering => "registering",
            Self::Validating => "validating",
            Self::Warming => "warming",
            Self::Backfilling => "backfilling",
            Self::Standby => "on standby",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether nothing more will happen by itself.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Standby | Self::Active | Self::Retired | Self::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let fail = || HeadEvent::Fail("x".into());
        let failed = || HeadState::Failed("x".into());
        use HeadEvent as E;
        use HeadState as S;
        let states = [
            S::Registering,
            S::Validating,
            S::Warming,
            S::Backfilling,
            S::Standby,
            S::Active,
            S::Draining,
            S::Retired,
            failed(),
        ];
        let events = || {
            [
                E::Received,
                E::Validated,
                E::BackfillStarted,
                E::BackfillDone,
                E::Promote,
                E::Relieve,
                E::Retire,
                E::Drained,
                fail(),
            ]
        };
        // Rows: states; columns: events; None: not allowed.
        let (draining, failing) = (Some(S::Draining), Some(failed()));
        let table = [
            [Some(S::Validating), None, None, None, None, None, None, None, failing.clone()],
            [None, Some(S::Warming), None, None, None, None, None, None, failing.clone()],
            [None, None, Some(S::Backfilling), None, None, None, draining.clone(), None, failing.clone()],
            [None, None, None, Some(S::Standby), None, None, draining.clone(), None, failing.clone()],
            [None, None, None, None, Some(S::Active), None, draining.clone(), None, failing.clone()],
            [None, None, None, None, None, Some(S::Standby), draining.clone(), None, failing],
            [None, None, None, None, None, None, None, Some(S::Retired), None],
            [None, None, None, None, None, None, None, None, None],
            [None, None, None, None, None, None, draining, None, None],
        ];
        for (state, row) in states.iter().zip(&table) {
            for (event, wanted) in events().into_iter().zip(row) {
                assert_eq!(state.next(event.clone()).ok(), *wanted, "{state:?} on {event:?}");
            }
        }
    }
}
