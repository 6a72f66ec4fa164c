//! The keys under which profiles are stored: names, each after the subject that it belongs to.

/// Before and after a subject; no name holds it.
const MARK: char = '\u{1f}';
/// Comes before all names and behind all keys with a subject.
const BEFORE_NAMES: &str = " ";

/// The key of a profile; without a subject it is nobody's own.
pub(crate) fn key_of(subject: Option<&str>, name: &str) -> String {
    subject.map_or_else(|| name.to_owned(), |subject| format!("{MARK}{subject}{MARK}{name}"))
}

/// The subject (empty: none) and the name in a key.
pub(crate) fn subject_and_name(key: &str) -> (&str, &str) {
    key.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK)).unwrap_or(("", key))
}

/// What the keys of a subject's profiles with names after `after` come after.
pub(crate) fn before(subject: Option<&str>, after: &str) -> String {
    match subject {
        None => after.max(BEFORE_NAMES).to_owned(),
        Some(_) => key_of(subject, after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_together_by_subject_and_are_read_back() {
        let owned = [(Some("a"), "zoe"), (Some("b"), "ann"), (None, "!"), (None, "ann")];
        let keys = owned.map(|(subject, name)| key_of(subject, name));
        assert!(keys.is_sorted(), "{keys:?}");
        for ((subject, name), key) in owned.iter().zip(&keys) {
            assert_eq!(subject_and_name(key), (subject.unwrap_or_default(), *name));
            assert!(before(*subject, "") < *key && before(*subject, name) >= *key);
        }
        assert!(before(None, "") > keys[1], "what belongs to somebody is not among what is nobody's");
        assert!(before(Some("b"), "") > keys[0]);
    }
}
