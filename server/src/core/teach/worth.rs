//! What a head is worth, in words: labels and items in place of their numbers.

use super::examples::ExampleOf;
use lapel_fit::Worth;

/// What a head tells of examples, with the names of what they are.
pub(crate) struct Examined {
    /// The head's labels.
    pub(crate) labels: Vec<String>,
    /// In numbers of those labels.
    pub(crate) worth: Worth,
    /// Examples that look mislabelled, the most certain first.
    pub(crate) doubted: Vec<Doubted>,
}

/// An example that looks mislabelled.
pub(crate) struct Doubted {
    pub(crate) example: Told,
    /// What it looks like, and how probable that is.
    pub(crate) looks_like: String,
    pub(crate) probability: f64,
}

/// An example with its label.
pub(crate) struct Told {
    /// The item's id; empty for a photo.
    pub(crate) item_id: String,
    /// The photo's place in the request.
    pub(crate) place: u32,
    pub(crate) label: String,
}

impl Examined {
    /// What `worth` says of the labels and the examples that it numbers.
    pub(super) fn new(worth: Worth, labels: Vec<String>, told: impl Fn(usize) -> Option<Told>) -> Self {
        let doubted = worth.doubtful.iter().filter_map(|doubtful| {
            let looks_like = labels.get(usize::from(doubtful.told))?.clone();
            Some(Doubted { example: told(doubtful.example)?, looks_like, probability: doubtful.probability })
        });
        Self { doubted: doubted.collect(), labels, worth }
    }

    /// What `worth` says of examples, with the number of each one's label.
    pub(super) fn of_examples(
        worth: Worth,
        labels: &[String],
        numbers: &[u16],
        examples: &[ExampleOf],
    ) -> Self {
        let told = |at: usize| {
            let label = labels.get(usize::from(*numbers.get(at)?))?.clone();
            Some(match examples.get(at)? {
                ExampleOf::Item(item) => Told { item_id: item.id.to_string(), place: 0, label },
                ExampleOf::Photo { place, image: _ } => Told { item_id: String::new(), place: *place, label },
            })
        };
        Self::new(worth, labels.to_vec(), told)
    }
}
