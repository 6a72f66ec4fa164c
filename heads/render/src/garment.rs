//! A garment's attributes and how they go together.

mod cuts;

use super::palette::COLOURS;
use cuts::{CUTS, Cut};
use lapel_heads::Labels;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Attributes of one garment; an attribute that its category does not have (the collar of trousers) is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garment {
    /// What it is.
    pub category: &'static str,
    /// Main colour, or multi.
    pub color: &'static str,
    /// Pattern of the cloth.
    pub pattern: &'static str,
    /// Sleeve length; tops and dresses.
    pub sleeve_length: Option<&'static str>,
    /// Neckline; collarless tops and dresses.
    pub neckline: Option<&'static str>,
    /// Collar; tops and dresses.
    pub collar: Option<&'static str>,
    /// Fastening.
    pub fastening: &'static str,
    /// Pocket.
    pub pocket: &'static str,
    /// Length, in the category's own words.
    pub length: &'static str,
    /// Fabric.
    pub fabric: &'static str,
    /// Fit.
    pub fit: &'static str,
    /// Gender of the cut.
    pub gender: &'static str,
    /// Sport of the print, or none.
    pub sport: &'static str,
}

const PATTERNS: [&str; 24] = [
    "plain",
    "plain",
    "plain",
    "plain",
    "plain",
    "plain",
    "plain",
    "striped",
    "striped",
    "striped",
    "checked",
    "checked",
    "polka-dot",
    "polka-dot",
    "floral",
    "floral",
    "print",
    "print",
    "marl",
    "colour-block",
    "animal",
    "camouflage",
    "colour-gradient",
    "herringbone",
];
const SPORTS: [&str; 5] = ["football", "basketball", "running", "yoga", "surfing"];

impl Garment {
    /// Draws a garment whose attributes go together.
    #[must_use]
    pub fn sample(rng: &mut ChaCha8Rng) -> Self {
        let total = CUTS.iter().map(|c| c.share).sum();
        let mut at = rng.random_range(0..total);
        let cut = CUTS.iter().find(|c| {
            let here = at < c.share;
            at = at.saturating_sub(c.share);
            here
        });
        Self::of_cut(cut.unwrap_or(&CUTS[0]), rng)
    }

    /// Draws a garment of one category; `None` when there is no such category.
    #[must_use]
    pub fn sample_category(category: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        CUTS.iter().find(|c| c.category == category).map(|cut| Self::of_cut(cut, rng))
    }

    fn of_cut(cut: &Cut, rng: &mut ChaCha8Rng) -> Self {
        let mut one = |options: &[&'static str]| options.choose(rng).copied();
        let sporty = ["t-shirt", "top", "sweatshirt", "shorts", "hoodie"].contains(&cut.category);
        let sleeve_length = one(cut.sleeve_length);
        let mut collar = one(cut.collar);
        let mut neckline = one(cut.neckline);
        // Straps leave no room for a collar, and a bare shoulder has no neckline of its own.
        if matches!(sleeve_length, Some("spaghetti" | "strapless")) {
            collar = collar.and(Some("none"));
            neckline = None;
        }
        if collar.is_some_and(|c| c != "none")
            || neckline == Some("off-the-shoulder") && sleeve_length == Some("sleeveless")
        {
            neckline = None;
        }
        let mut fastening = one(cut.fastening).unwrap_or("none");
        if neckline == Some("henley") {
            fastening = "button";
        }
        let sport_print = sporty && one(&["yes", "no", "no", "no"]) == Some("yes");
        let sport = if sport_print { one(&SPORTS) } else { None }.unwrap_or("none");
        let fabric = one(cut.fabric).unwrap_or("woven");
        let pattern = match (sport, fabric) {
            ("none", "leather" | "lace" | "quilted" | "denim") => "plain",
            ("none", _) => one(&PATTERNS).unwrap_or("plain"),
            _ => "print",
        };
        let single = COLOURS.map(|(name, _)| name);
        let denim = ["blue", "navy", "light-blue", "black", "blue", "gray"];
        let mixed =
            matches!(pattern, "floral" | "checked" | "striped" | "colour-block" | "print") && sport == "none";
        let color = match fabric {
            "denim" => one(&denim),
            _ if mixed && one(&["yes", "no", "no"]) == Some("yes") => Some("multi"),
            _ if pattern == "camouflage" => one(&["olive", "green", "brown", "gray"]),
            _ => one(&single),
        };
        Self {
            category: cut.category,
            color: color.unwrap_or("black"),
            pattern,
            sleeve_length,
            neckline,
            collar,
            fastening,
            pocket: one(cut.pocket).unwrap_or("none"),
            length: one(cut.length).unwrap_or("normal"),
            fabric,
            fit: one(cut.fit).unwrap_or("regular"),
            gender: match cut.category {
                "dress" | "skirt" | "blouse" => "female",
                _ => one(&["female", "male"]).unwrap_or("female"),
            },
            sport,
        }
    }

    /// All labels, by attribute.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let all = [
            ("category", Some(self.category)),
            ("color", Some(self.color)),
            ("pattern", Some(self.pattern)),
            ("sleeve_length", self.sleeve_length),
            ("neckline", self.neckline),
            ("collar", self.collar),
            ("fastening", Some(self.fastening)),
            ("pocket", Some(self.pocket)),
            ("length", Some(self.length)),
            ("fabric", Some(self.fabric)),
            ("fit", Some(self.fit)),
            ("gender", Some(self.gender)),
            ("sport", Some(self.sport)),
        ];
        all.into_iter().filter_map(|(a, l)| Some((a.to_owned(), l?.to_owned()))).collect()
    }

    /// Whether it is worn on the upper body (dresses and jumpsuits included).
    #[must_use]
    pub fn is_upper(&self) -> bool {
        self.collar.is_some()
    }

    /// Whether it opens in front over its whole length.
    pub(super) fn opens(&self) -> bool {
        let open = ["shirt", "cardigan", "jacket", "coat", "blazer", "waistcoat"].contains(&self.category);
        open || ["hoodie", "sweatshirt"].contains(&self.category) && self.fastening == "zip"
    }
}
