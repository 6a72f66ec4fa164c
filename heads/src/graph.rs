//! ONNX graphs as layers of heads.
//!
//! A graph comes from whoever made the bundle. [`model`] reads the file, [`operator`] has what it may compute, and
//! [`shapes`] tells what comes out of each node and what it costs. Only then does [`runtime`] hand what was read, not the
//! file, to tract.

#[cfg(not(feature = "onnx"))]
mod absent;
#[cfg(feature = "onnx")]
mod axes;
#[cfg(feature = "onnx")]
mod constant;
mod error;
#[cfg(feature = "onnx")]
mod input;
#[cfg(feature = "onnx")]
mod model;
#[cfg(feature = "onnx")]
mod operator;
#[cfg(feature = "onnx")]
mod runtime;
#[cfg(feature = "onnx")]
mod shapes;
#[cfg(test)]
#[cfg(feature = "onnx")]
mod tests;
#[cfg(feature = "onnx")]
mod wire;

#[cfg(not(feature = "onnx"))]
pub(crate) use absent::Graph;
pub use error::GraphError;

/// A graph that computes some numbers from the numbers that a head reads.
#[cfg(feature = "onnx")]
pub(crate) struct Graph {
    runtime: runtime::Runtime,
}

#[cfg(feature = "onnx")]
impl Graph {
    /// Reads and checks an ONNX file that computes `output`, `[1, outputs]`, from `[1, inputs]`.
    ///
    /// # Errors
    /// [`GraphError`], one variant a cause.
    pub(crate) fn new(
        bytes: &[u8],
        inputs: usize,
        (output, outputs): (&str, usize),
    ) -> Result<Self, GraphError> {
        let model = model::Model::read(bytes)?;
        if model.output != output {
            let (wanted, found) = (output.to_owned(), error::shown(model.output));
            return Err(GraphError::Output { wanted, found });
        }
        let found = shapes::output_shape(&model, inputs)?;
        if found != [1, outputs] {
            let fault = format!("its output {output} is {found:?} for one picture; wanted is [1, {outputs}]");
            return Err(GraphError::Interface { fault });
        }
        let runtime = runtime::Runtime::new(&model, inputs)?;
        // What the runtime cannot compute is told now and not with the first picture.
        let computed = runtime.run(&vec![0.0; inputs])?.len();
        if computed != outputs {
            let fault = format!("its output {output} has {computed} numbers; wanted are {outputs}");
            return Err(GraphError::Interface { fault });
        }
        Ok(Self { runtime })
    }

    /// The output for one row of inputs. Rows are computed one by one, so that none depends on what else is in a batch.
    ///
    /// # Errors
    /// [`GraphError::Runtime`].
    pub(crate) fn run(&self, row: &[f32]) -> Result<Vec<f32>, GraphError> {
        self.runtime.run(row)
    }
}
