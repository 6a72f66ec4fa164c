//! What a head looks at, tells apart and learns by; the heads of the paper's system.

use lapel_heads::{PARTS_ATTRIBUTE, PartsCase, Region};

/// Which triplets stage 2 learns from (section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// None: cross entropy alone.
    Off,
    /// Positive and negative drawn at random, as in the paper.
    Random,
    /// For each example of a batch balanced over labels, the farthest positive and the nearest negative.
    BatchHard,
    /// The farthest positive, and the nearest negative that is farther than it, if there is one.
    SemiHard,
}

/// What of the feature map a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// conv5 alone, as in the paper.
    Conv5,
    /// conv5 and the cloth's own channels.
    All,
}

/// What a head looks at, tells apart and learns by.
#[derive(Clone, Debug)]
pub struct HeadRecipe {
    /// The head's name.
    pub name: String,
    /// Where it looks.
    pub region: Region,
    /// Whether it reads the whole map beside its region.
    pub context: bool,
    /// Its attributes.
    pub attributes: Vec<String>,
    /// Outputs of fc6.
    pub hidden: usize,
    /// Dimension of the signature.
    pub dim: usize,
    /// Whether real photos are used; an attribute that only rendered garments have is learnt from them alone.
    pub real: bool,
    /// Labels in a fixed order; empty: those that occur often enough.
    pub labels: Vec<String>,
    /// Triplets of stage 2.
    pub ranking: Ranking,
    /// What of the map it reads.
    pub input: Input,
}

/// Special attributes of which the place on the garment is known (sections 4.3 and 6).
const PLACES: [(&str, Region); 6] = [
    ("color", Region::Chest),
    ("pattern", Region::Chest),
    ("sleeve_length", Region::Sleeves),
    ("neckline", Region::Collar),
    ("collar", Region::Collar),
    ("fastening", Region::Fastening),
];
/// Attributes that say what a garment is; they share one head.
const GENERAL: [&str; 7] = ["category", "fabric", "fit", "length", "pocket", "gender", "sport"];

/// Whether an attribute has a head of its own: every one that is not known to be general.
#[must_use]
pub fn is_special(attribute: &str) -> bool {
    !GENERAL.contains(&attribute)
}

impl HeadRecipe {
    /// A special head for one attribute, in the paper's way; an attribute of unknown place reads the whole map.
    #[must_use]
    pub fn special(attribute: &str) -> Self {
        let place = PLACES.iter().find(|(name, _)| *name == attribute);
        Self {
            name: attribute.to_owned(),
            region: place.map_or(Region::Whole, |(_, region)| *region),
            context: false,
            attributes: vec![attribute.to_owned()],
            hidden: 128,
            dim: 64,
            real: true,
            labels: Vec::new(),
            ranking: Ranking::Random,
            input: Input::Conv5,
        }
    }

    /// One head for several attributes, on the whole map.
    #[must_use]
    pub fn joint(name: &str, attributes: &[&str]) -> Self {
        let attributes = attributes.iter().map(|&a| a.to_owned()).collect();
        Self { name: name.into(), region: Region::Whole, attributes, hidden: 192, ..Self::special("") }
    }

    /// A special head for an attribute that only rendered garments are labelled for; it looks at the chest.
    #[must_use]
    pub fn rendered_only(attribute: &str) -> Self {
        Self {
            region: Region::Chest,
            hidden: 32,
            dim: 32,
            real: false,
            input: Input::All,
            ..Self::special(attribute)
        }
    }

    /// The head of "Extract Parts?" (section 4.3).
    #[must_use]
    pub fn extract_parts() -> Self {
        let labels = PartsCase::ALL.map(|case| case.name().to_owned()).to_vec();
        Self {
            hidden: 32,
            dim: 16,
            labels,
            input: Input::All,
            ..Self::joint("extract_parts", &[PARTS_ATTRIBUTE])
        }
    }

    /// The heads of the paper's system for a list of attributes: one each for the special ones, and one for the
    /// general ones together.
    #[must_use]
    pub fn proposed(attributes: &[&str]) -> Vec<Self> {
        let (special, general): (Vec<&str>, Vec<&str>) = attributes.iter().partition(|a| is_special(a));
        let mut recipes: Vec<Self> = special.into_iter().map(Self::special).collect();
        if !general.is_empty() {
            recipes.push(Self::joint("general", &general));
        }
        recipes
    }

    /// The heads of Lapel on AlexNet: as [`HeadRecipe::proposed`], with the cloth's own channels, and the whole map beside
    /// each region.
    #[must_use]
    pub fn lapel(attributes: &[&str]) -> Vec<Self> {
        let mut recipes = Self::proposed(attributes);
        for recipe in &mut recipes {
            recipe.input = Input::All;
            recipe.context = recipe.region != Region::Whole;
        }
        recipes
    }
}
