//! Keeps the HNSW indexes up with their columns, in the background.

use super::Core;
use std::sync::Arc;

/// Follows every change until the core is gone.
pub(super) fn spawn(core: &Arc<Core>) {
    let core = Arc::downgrade(core);
    tokio::spawn(async move {
        while let Some(strong) = core.upgrade() {
            let snapshot = strong.snapshot();
            let behind: Vec<_> = snapshot.columns().iter().filter(|c| !c.index().is_current(c)).cloned().collect();
            drop(snapshot);
            if behind.is_empty() {
                strong.changed.notified().await;
                continue;
            }
            drop(strong);
            for column in behind {
                let name = column.head().name().to_owned();
                let followed = tokio::task::spawn_blocking(move || column.index().follow(&column)).await;
                if let Ok(Err(error)) = followed {
                    tracing::error!(head = name, error, "the index failed; it is rebuilt, queries scan meanwhile");
                }
            }
        }
    });
}
