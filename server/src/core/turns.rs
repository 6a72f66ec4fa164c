//! Work on the whole catalogue that is no search.

use super::Core;
use crate::admission::Admitted;
use crate::error::Error;

impl Core {
    /// Runs a pass over the catalogue off the threads that serve connections, in turn with the searches.
    ///
    /// # Errors
    /// [`Error::Internal`] when it panicked.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        pass: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.searches.clone().acquire_owned().await;
        let permit = permit.map_err(|e| Error::Internal(e.to_string()))?;
        // They are held until the work has ended, whether or not the caller waits for it.
        let held = (permit, Admitted::present());
        let passed = tokio::task::spawn_blocking(move || {
            let _held = held;
            pass()
        });
        Ok(passed.await?)
    }
}
