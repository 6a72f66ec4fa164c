//! The life of heads and models: one pure transition, from which records, snapshot and what is shown are derived.

mod change;
mod effects;
mod heads;
mod models;
mod records;
mod refusal;
mod registry;
mod state;
mod status;
mod step;
#[cfg(test)]
mod tests;

pub use change::{Change, NewHead, NewModel};
pub use effects::Effects;
pub use heads::Claim;
pub use records::file_keys;
pub use refusal::Refusal;
pub use registry::Registry;
pub use state::HeadState;
pub use status::{HeadStatus, Life, ModelStatus, Models, Progress, Purpose, Skip};
pub use step::Step;
