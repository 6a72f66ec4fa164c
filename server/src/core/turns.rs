//! Work on the whole catalogue that is no search.

use super::Core;
use crate::admission::Admitted;
use crate::error::Error;
use lapel_search::IsAbandoned;
use tokio_util::sync::CancellationToken;

impl Core {
    /// Runs a pass over the catalogue off the threads that serve connections, in turn with the searches. When the caller
    /// leaves, a pass that has not begun does not, and one that asks whether it is abandoned is told so.
    ///
    /// # Errors
    /// [`Error::Internal`] when it panicked, [`Error::Left`] where nobody waits for it.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        pass: impl FnOnce(IsAbandoned<'_>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.searches.clone().acquire_owned().await;
        let permit = permit.map_err(|e| Error::Internal(e.to_string()))?;
        // They are held until the work has ended, whether or not the caller waits for it.
        let held = (permit, Admitted::present());
        let abandoned = CancellationToken::new();
        let _present = abandoned.clone().drop_guard();
        let passed = tokio::task::spawn_blocking(move || {
            let _held = held;
            let is_abandoned = || abandoned.is_cancelled();
            if is_abandoned() { Err(Error::Left) } else { Ok(pass(&is_abandoned)) }
        });
        passed.await?
    }
}
