//! The report of the experiments: one HTML file that holds everything it shows.

mod chart;
mod figures;
mod page;
mod picture;
mod sheet;

pub use figures::{Confusion, Figures, PartsSheet, confusions, figures};
pub use page::{Content, RunTime, html};
pub use sheet::{Sheet, SystemFront, sheets};
