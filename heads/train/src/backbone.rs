//! The backbone's convolutions with weights that training can move.

mod autograd;
mod trainable;
mod window;

pub use autograd::max_pool;
pub use trainable::TrainableAlexNet;
