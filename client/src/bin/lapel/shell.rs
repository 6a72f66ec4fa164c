//! Commands that are shown to be typed.

/// A word of a command that a shell reads as it is.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A name as part of a file's name: a slash would begin a folder that is not there.
pub(crate) fn file_name(name: &str) -> String {
    name.replace(['/', '\\'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_and_names_make_no_folders() {
        assert_eq!(word("layer=over"), "layer=over");
        assert_eq!(word("layer=light blue"), "'layer=light blue'");
        assert_eq!(word("$(it's)"), "'$(it'\\''s)'");
        assert_eq!(word(""), "''");
        assert_eq!(file_name("a/b"), "a_b");
    }
}
