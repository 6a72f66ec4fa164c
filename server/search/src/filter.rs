//! Which items a search, a list or a count is about, as plain data.

/// Conditions that an item must meet, all of them; without conditions every item passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The conditions.
    pub all: Vec<Condition>,
}

/// One condition on what is stored of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its label of the attribute is one of these.
    Label {
        /// The attribute.
        attribute: String,
        /// The labels that pass.
        any_of: Vec<String>,
    },
}

impl Filter {
    /// Items that carry every one of these labels, given with their attributes.
    pub fn carrying<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let condition = |(attribute, label): (&str, &str)| Condition::Label {
            attribute: attribute.to_owned(),
            any_of: vec![label.to_owned()],
        };
        Self { all: labels.into_iter().map(condition).collect() }
    }
}
