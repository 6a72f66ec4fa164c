//! Shopping100k, the paper's data set: the attributes that its published files give by their numbers of values alone.

/// The attributes in the order of `attr_num.txt`, by the names that the renderer and the heads' places use, with their
/// numbers of values: 151 in all. The published files do not say which value is which.
const ATTRIBUTES: [(&str, usize); 12] = [
    ("category", 16),
    ("collar", 17),
    ("color", 19),
    ("fabric", 14),
    ("fastening", 10),
    ("fit", 15),
    ("gender", 2),
    ("neckline", 11),
    ("pattern", 16),
    ("pocket", 7),
    ("sleeve_length", 9),
    ("sport", 15),
];

/// The names of the attributes of a set with so many values each, if it is Shopping100k.
pub(super) fn attribute_names(counts: &[usize]) -> Option<[&'static str; 12]> {
    (counts == ATTRIBUTES.map(|(_, count)| count)).then_some(ATTRIBUTES.map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeadRecipe;
    use lapel_heads::Region;

    #[test]
    fn it_is_known_by_its_counts_and_has_the_papers_heads() {
        let counts = [16, 17, 19, 14, 10, 15, 2, 11, 16, 7, 9, 15];
        assert_eq!(counts.iter().sum::<usize>(), 151);
        let names = attribute_names(&counts).expect("known");
        assert_eq!(attribute_names(&counts[1..]), None);
        let found: Vec<_> = HeadRecipe::proposed(&names)
            .into_iter()
            .map(|recipe| (recipe.name, recipe.region, recipe.attributes.len()))
            .collect();
        let special = |name: &str, region| (name.to_owned(), region, 1);
        let wanted = [
            special("collar", Region::Collar),
            special("color", Region::Chest),
            special("fastening", Region::Fastening),
            special("neckline", Region::Collar),
            special("pattern", Region::Chest),
            special("sleeve_length", Region::Sleeves),
            ("general".to_owned(), Region::Whole, 6),
        ];
        assert_eq!(found, wanted);
    }
}
