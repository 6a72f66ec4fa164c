//! The names there are, where one was asked for that is not.

use super::header_bytes;

/// Names that are listed where one was not found, and what they may take together as a header of the answer.
const LISTED_MAX: usize = 50;
const LISTED_BYTES: usize = 1000;
/// Names that one is compared with.
const COMPARED_MAX: usize = 1000;

/// What is told of the names there are: the first of them, how many there are, and which one may have been meant. However
/// many there are, it holds no more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    listed: Vec<String>,
    count: usize,
    meant: Option<String>,
}

impl Choices {
    /// Of the names there are, in the order in which they are listed, where `name` is none of them.
    #[must_use]
    pub fn of<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = names.into_iter();
        let compared: Vec<&str> = names.by_ref().take(COMPARED_MAX).collect();
        let count = compared.len() + names.count();
        let meant = lapel_wardrobe::nearest(name, compared.iter().copied()).map(str::to_owned);
        let listed = compared.iter().take(LISTED_MAX).map(|name| (*name).to_owned()).collect();
        Self { listed, count, meant }
    }

    /// Of numbers: one that is near another is no slip of it.
    #[must_use]
    pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { meant: None, ..Self::of("", names) }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What follows the words that a name is not there; `lead` comes before the list.
    pub(super) fn text(&self, lead: &str) -> String {
        if self.is_empty() {
            return String::new();
        }
        let meant = self.meant.as_ref().map(|meant| format!(" did you mean {meant:?}?"));
        let mut room = LISTED_BYTES;
        let fits = |name: &&str| {
            let cost = header_bytes(name) + 2;
            let fits = cost <= room;
            room = room.saturating_sub(cost);
            fits
        };
        let listed: Vec<&str> = self.listed.iter().map(String::as_str).take_while(fits).collect();
        let more = self.count - listed.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!(";{} {lead}: {}{more}", meant.unwrap_or_default(), listed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_the_first_are_kept_with_their_number_and_the_one_that_was_meant() {
        let names: Vec<String> = (0..10_000).map(|n| format!("label{n:05}")).collect();
        let choices = Choices::of("lable00777", names.iter().map(String::as_str));
        assert_eq!(choices.listed, names[..LISTED_MAX]);
        assert_eq!((choices.count, choices.meant.as_deref()), (10_000, Some("label00777")));
        let text = choices.text("there are");
        let begins = "; did you mean \"label00777\"? there are: label00000, label00001, ";
        assert!(text.starts_with(begins) && text.ends_with(" and 9950 more"), "{text}");
        assert_eq!(Choices::of("x", []).text("there are"), "");
    }
}
