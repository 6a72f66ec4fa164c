//! Keeps the HNSW indexes up with their columns, in the background.

use super::Core;
use std::sync::Arc;

/// Follows every change until the server stops.
pub(super) fn spawn(core: &Arc<Core>) {
    let strong = core.clone();
    core.tasks.spawn(async move {
        while !strong.stopping.is_cancelled() {
            let snapshot = strong.snapshot();
            let behind: Vec<_> =
                snapshot.columns().iter().filter(|c| !c.index().is_current(c)).cloned().collect();
            drop(snapshot);
            let mut failed = false;
            let nothing_to_do = behind.is_empty();
            for column in behind {
                if strong.stopping.is_cancelled() {
                    return;
                }
                let name = column.head().name().to_owned();
                let followed = tokio::task::spawn_blocking(move || column.index().follow(&column)).await;
                failed |= !matches!(followed, Ok(Ok(())));
                if let Ok(Err(error)) = followed {
                    tracing::error!(
                        head = name,
                        error,
                        "the index failed; it is rebuilt, queries scan meanwhile"
                    );
                }
            }
            // An index that failed is tried again with the next change, not at once and for ever.
            if nothing_to_do || failed {
                tokio::select! {
                    () = strong.changed.notified() => {}
                    () = strong.stopping.cancelled() => return,
                }
            }
        }
    });
}
