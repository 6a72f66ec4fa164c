//! The heads that are trained: the paper's six special attributes, the general ones together, "Extract
//! Parts?", and one more as an example of a head that is taught to a running server.

use crate::embedder::PARTS_ATTRIBUTE;
use crate::region::{PartsCase, Region};

/// What a head looks at and tells apart.
#[derive(Clone, Debug)]
pub struct HeadRecipe {
    /// The head's name.
    pub name: &'static str,
    /// Where it looks.
    pub region: Region,
    /// Its attributes.
    pub attributes: &'static [&'static str],
    /// Outputs of fc6.
    pub hidden: usize,
    /// Dimension of the signature.
    pub dim: usize,
    /// Whether real photos are used; an attribute that only rendered garments have is learnt from them alone.
    pub real: bool,
    /// Labels in a fixed order; empty: those that occur often enough.
    pub labels: Vec<String>,
}

/// Every head, the one for "Extract Parts?" first, since the others' regions depend on it.
#[must_use]
pub fn recipes() -> Vec<HeadRecipe> {
    let head = |name, region, attributes, hidden, dim| HeadRecipe {
        name,
        region,
        attributes,
        hidden,
        dim,
        real: true,
        labels: Vec::new(),
    };
    let cases = PartsCase::ALL.map(|case| case.name().to_owned()).to_vec();
    vec![
        HeadRecipe { labels: cases, ..head("extract_parts", Region::Whole, &[PARTS_ATTRIBUTE], 32, 16) },
        head("color", Region::Chest, &["color"], 128, 64),
        head("pattern", Region::Chest, &["pattern"], 128, 64),
        head("sleeve_length", Region::Sleeves, &["sleeve_length"], 128, 64),
        head("neckline", Region::Collar, &["neckline"], 128, 64),
        head("collar", Region::Collar, &["collar"], 128, 64),
        head("fastening", Region::Fastening, &["fastening"], 128, 64),
        head("general", Region::Whole, &["category", "fabric", "fit", "length", "pocket"], 192, 64),
        HeadRecipe { real: false, ..head("sport", Region::Chest, &["sport"], 32, 32) },
    ]
}
