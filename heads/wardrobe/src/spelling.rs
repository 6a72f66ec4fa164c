//! How near names are to each other, to say which one may have been meant.

/// Letters to insert, delete, replace or exchange with the next one (optimal string alignment).
#[must_use]
pub fn letters_apart(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The longest name that is compared, in letters; nobody misspells a longer one.
const COMPARED_LEN_MAX: usize = 64;

/// The one of `names` that `name` is most likely a slip of: at most a third of its letters differ, capitals apart.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| {
        let is_short = name.chars().nth(COMPARED_LEN_MAX).is_none();
        is_short.then(|| name.to_lowercase())
    };
    let wanted = plain(name)?;
    let apart = |other: &'a str| {
        let plain = plain(other)?;
        let apart = letters_apart(&wanted, &plain);
        let length = wanted.chars().count().max(plain.chars().count());
        (apart * 3 <= length).then_some((apart, other))
    };
    names.into_iter().filter_map(apart).min_by_key(|(apart, _)| *apart).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (a, b, apart) in [("boat", "boot", 1), ("ab", "ba", 1), ("", "abc", 3), ("same", "same", 0)] {
            assert_eq!(letters_apart(a, b), apart, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_finds_what_was_meant_and_another_word_nothing() {
        let names = ["category", "collar", "color", "sleeve_length"];
        for (slip, meant) in [
            ("colour", Some("color")),
            ("COLOR", Some("color")),
            ("sleeve length", Some("sleeve_length")),
            ("catgeory", Some("category")),
            ("mood", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, names), meant, "{slip}");
        }
        let long = "x".repeat(COMPARED_LEN_MAX + 1);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
