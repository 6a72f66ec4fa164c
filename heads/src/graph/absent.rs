//! What stands for a graph where the feature `onnx` is not built in.

use super::GraphError;

/// There is none.
pub(crate) enum Graph {}

impl Graph {
    /// Refuses every graph.
    ///
    /// # Errors
    /// [`GraphError::NotBuilt`].
    pub(crate) fn new(_: &[u8], _: usize, _: (&str, usize)) -> Result<Self, GraphError> {
        Err(GraphError::NotBuilt)
    }

    pub(crate) fn run(&self, _: &[f32]) -> Result<Vec<f32>, GraphError> {
        match *self {}
    }
}
