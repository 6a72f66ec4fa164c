//! Search by weighted signatures: plain data in, hits out. Nothing here knows of files, networks or models.

mod block;
pub mod codes;
mod cost;
mod instructions;
pub mod kernels;
mod stop;

pub use block::{ColumnBlock, Precision, Slot};
pub use cost::{Costs, FIRST_MIN, Work};
pub use instructions::Instructions;
pub use kernels::BLOCK;
pub use stop::{Lesson, Progress, StopRule};
