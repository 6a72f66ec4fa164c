//! The backbone's convolutions with weights that training can move.

mod autograd;
mod channels_last;
mod inverted;
mod trainable;
mod window;

pub use autograd::max_pool;
#[cfg(test)]
pub(crate) use inverted::tests::tensors as random_tensors;
pub use inverted::{Gradients, Tape, TrainableInverted};
pub use trainable::TrainableAlexNet;
