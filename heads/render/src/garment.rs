//! A garment's attributes and how they go together.

use super::palette::COLOURS;
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

/// What a category may have; a repeated entry is more likely.
struct Cut {
    category: &'static str,
    share: u32,
    sleeve_length: &'static [&'static str],
    neckline: &'static [&'static str],
    collar: &'static [&'static str],
    fastening: &'static [&'static str],
    pocket: &'static [&'static str],
    length: &'static [&'static str],
    fabric: &'static [&'static str],
    fit: &'static [&'static str],
}

const NO: &[&str] = &["none"];
const LONG: &[&str] = &["long"];
const NECKLINES: &[&str] =
    &["round", "round", "round", "v-neck", "v-neck", "low-round", "boat", "square", "henley"];
const SHAPES: &[&str] = &["slim", "regular", "regular", "loose"];

const CUTS: [Cut; 19] = [
    Cut {
        category: "t-shirt",
        share: 16,
        sleeve_length: &["short", "short", "short", "long", "3/4"],
        neckline: NECKLINES,
        collar: NO,
        fastening: NO,
        pocket: &["none", "none", "none", "chest"],
        length: &["normal", "normal", "long", "crop"],
        fabric: &["jersey"],
        fit: SHAPES,
    },
    Cut {
        category: "shirt",
        share: 10,
        sleeve_length: &["long", "long", "short", "3/4"],
        neckline: &[],
        collar: &["shirt", "shirt", "shirt", "mandarin"],
        fastening: &["button"],
        pocket: &["none", "chest", "flap"],
        length: &["normal", "long"],
        fabric: &["woven", "woven", "denim"],
        fit: SHAPES,
    },
    Cut {
        category: "blouse",
        share: 4,
        sleeve_length: &["long", "short", "3/4", "sleeveless"],
        neckline: &["round", "v-neck", "boat", "off-the-shoulder"],
        collar: &["none", "shirt", "mandarin", "peter-pan"],
        fastening: &["button", "none", "laces"],
        pocket: NO,
        length: &["normal"],
        fabric: &["woven", "woven", "lace"],
        fit: &["regular", "loose", "flared"],
    },
    Cut {
        category: "top",
        share: 6,
        sleeve_length: &["sleeveless", "sleeveless", "spaghetti", "strapless"],
        neckline: &["round", "low-round", "v-neck", "square"],
        collar: NO,
        fastening: NO,
        pocket: NO,
        length: &["normal", "crop", "long"],
        fabric: &["jersey", "woven", "lace"],
        fit: SHAPES,
    },
    Cut {
        category: "polo",
        share: 5,
        sleeve_length: &["short", "short", "long"],
        neckline: &[],
        collar: &["polo"],
        fastening: &["button"],
        pocket: &["none", "none", "chest"],
        length: &["normal"],
        fabric: &["jersey"],
        fit: SHAPES,
    },
    Cut {
        category: "jumper",
        share: 8,
        sleeve_length: &["long", "long", "long", "3/4"],
        neckline: &["round", "v-neck", "boat"],
        collar: &["none", "none", "high", "high", "shawl"],
        fastening: NO,
        pocket: NO,
        length: &["normal", "long"],
        fabric: &["knit"],
        fit: SHAPES,
    },
    Cut {
        category: "sweatshirt",
        share: 4,
        sleeve_length: LONG,
        neckline: &["round"],
        collar: &["none", "none", "high"],
        fastening: &["none", "none", "zip"],
        pocket: &["none", "kangaroo"],
        length: &["normal"],
        fabric: &["sweat", "fleece"],
        fit: SHAPES,
    },
    Cut {
        category: "hoodie",
        share: 6,
        sleeve_length: LONG,
        neckline: &[],
        collar: &["hood"],
        fastening: &["none", "zip", "zip"],
        pocket: &["kangaroo", "kangaroo", "side", "none"],
        length: &["normal"],
        fabric: &["sweat", "fleece"],
        fit: SHAPES,
    },
    Cut {
        category: "cardigan",
        share: 4,
        sleeve_length: LONG,
        neckline: &["v-neck", "round"],
        collar: &["none", "shawl"],
        fastening: &["button", "button", "belt", "zip"],
        pocket: &["none", "side"],
        length: &["normal", "long"],
        fabric: &["knit"],
        fit: SHAPES,
    },
    Cut {
        category: "jacket",
        share: 10,
        sleeve_length: LONG,
        neckline: &["round"],
        collar: &["high", "shirt", "hood", "none", "high"],
        fastening: &["zip", "zip", "button"],
        pocket: &["side", "zip", "flap", "none"],
        length: &["normal", "crop"],
        fabric: &["woven", "denim", "leather", "quilted", "quilted"],
        fit: SHAPES,
    },
    Cut {
        category: "coat",
        share: 4,
        sleeve_length: LONG,
        neckline: &[],
        collar: &["lapel", "high", "hood", "shawl"],
        fastening: &["button", "zip", "belt"],
        pocket: &["side", "flap", "none"],
        length: &["long"],
        fabric: &["woven", "quilted"],
        fit: &["regular", "loose", "slim"],
    },
    Cut {
        category: "blazer",
        share: 4,
        sleeve_length: LONG,
        neckline: &[],
        collar: &["lapel", "lapel", "shawl"],
        fastening: &["button"],
        pocket: &["flap", "side", "chest"],
        length: &["normal"],
        fabric: &["woven"],
        fit: &["slim", "regular"],
    },
    Cut {
        category: "waistcoat",
        share: 3,
        sleeve_length: &["sleeveless"],
        neckline: &["v-neck", "round"],
        collar: &["none", "high"],
        fastening: &["button", "zip"],
        pocket: &["none", "side", "zip"],
        length: &["normal"],
        fabric: &["woven", "quilted", "knit"],
        fit: &["slim", "regular"],
    },
    Cut {
        category: "dress",
        share: 11,
        sleeve_length: &["short", "long", "3/4", "sleeveless", "sleeveless", "spaghetti", "strapless"],
        neckline: NECKLINES,
        collar: &["none", "none", "none", "shirt", "peter-pan"],
        fastening: &["none", "none", "button", "belt"],
        pocket: &["none", "none", "side"],
        length: &["mini", "knee", "midi", "maxi"],
        fabric: &["jersey", "woven", "lace", "denim"],
        fit: &["slim", "regular", "flared", "flared"],
    },
    Cut {
        category: "jumpsuit",
        share: 2,
        sleeve_length: &["short", "sleeveless", "spaghetti", "long"],
        neckline: &["round", "v-neck"],
        collar: NO,
        fastening: &["none", "belt", "zip"],
        pocket: &["none", "side"],
        length: &["full", "short"],
        fabric: &["woven", "jersey", "denim"],
        fit: &["regular", "slim"],
    },
    Cut {
        category: "trouser",
        share: 8,
        sleeve_length: &[],
        neckline: &[],
        collar: &[],
        fastening: &["button", "laces", "zip", "none", "belt"],
        pocket: &["side", "side", "cargo", "none", "zip"],
        length: &["full", "full", "3/4"],
        fabric: &["woven", "jersey", "sweat", "leather"],
        fit: &["slim", "regular", "loose", "flared"],
    },
    Cut {
        category: "jean",
        share: 3,
        sleeve_length: &[],
        neckline: &[],
        collar: &[],
        fastening: &["button"],
        pocket: &["side"],
        length: &["full", "full", "3/4"],
        fabric: &["denim"],
        fit: &["slim", "regular", "loose", "flared"],
    },
    Cut {
        category: "shorts",
        share: 6,
        sleeve_length: &[],
        neckline: &[],
        collar: &[],
        fastening: &["button", "laces", "zip", "none"],
        pocket: &["side", "side", "cargo", "none", "zip"],
        length: &["short", "short", "knee"],
        fabric: &["woven", "denim", "jersey", "sweat"],
        fit: &["slim", "regular", "loose"],
    },
    Cut {
        category: "skirt",
        share: 5,
        sleeve_length: &[],
        neckline: &[],
        collar: &[],
        fastening: &["none", "none", "button", "zip", "belt"],
        pocket: &["none", "none", "side"],
        length: &["mini", "knee", "midi", "maxi"],
        fabric: &["woven", "denim", "jersey", "leather", "lace"],
        fit: &["slim", "regular", "flared", "flared"],
    },
];

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
