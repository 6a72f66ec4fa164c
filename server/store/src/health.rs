//! The store's health: one state, which writers, readers, the mending task and health checks all ask.

use tokio::sync::watch;

/// Whether the store can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// It takes reads and writes.
    Open,
    /// The disk refused a step, or the database could not be opened anew: it has to be opened anew before the next
    /// write.
    Failed,
    /// It is being opened anew, and the memory read from it.
    Reopening,
}

/// The state, shared with the database's file, which notices failures.
#[derive(Debug)]
pub(super) struct Health(watch::Sender<StoreHealth>);

impl Default for Health {
    fn default() -> Self {
        Self(watch::Sender::new(StoreHealth::Open))
    }
}

impl Health {
    pub(super) fn now(&self) -> StoreHealth {
        *self.0.borrow()
    }

    pub(super) fn set(&self, health: StoreHealth) {
        self.0.send_replace(health);
    }

    /// Ends a reopening. False when it had failed again by then: a failure is never overwritten.
    pub(super) fn opened(&self) -> bool {
        self.0.send_if_modified(|health| {
            let reopened = *health == StoreHealth::Reopening;
            if reopened {
                *health = StoreHealth::Open;
            }
            reopened
        })
    }

    /// Ends when the store has failed.
    pub(super) async fn failed(&self) {
        let mut changes = self.0.subscribe();
        // It ends with an error only when the sender is gone, and that is borrowed here.
        let _ = changes.wait_for(|health| *health == StoreHealth::Failed).await;
    }
}
