//! What a head is asked to be taught from.

use crate::core::teach::{Shown, ShownOf, Source, WordedLabel};
use crate::error::{Error, within};
use lapel_proto::v1;
use lapel_proto::v1::taught_example::Of;

/// Bytes of a description that a caller gives: fewer than a bundle's, as the protocol has it.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 900;

/// What a head is to be taught from.
pub(super) enum TeachSource {
    /// Examples, named or found.
    Examples(Source),
    /// Words for its labels.
    Words(Vec<WordedLabel>),
}

impl TeachSource {
    /// What is asked, without a look at the catalogue.
    ///
    /// # Errors
    /// [`Error::Invalid`] where nothing is set, or an example shows nothing.
    pub(super) fn of(source: Option<v1::teach_request::Source>) -> Result<Self, Error> {
        let source = match source {
            Some(v1::teach_request::Source::Examples(v1::TaughtExamples { examples })) => {
                Source::Examples(shown(examples)?)
            }
            Some(v1::teach_request::Source::LabelAttribute(attribute)) => Source::Attribute(attribute),
            Some(v1::teach_request::Source::Field(field)) => Source::Field(field),
            Some(v1::teach_request::Source::Words(v1::TaughtWords { labels })) => {
                let word = |v1::WordedLabel { label, prompts }| WordedLabel { label, prompts };
                return Ok(Self::Words(labels.into_iter().map(word).collect()));
            }
            None => return Err(Self::missing()),
        };
        Ok(Self::Examples(source))
    }

    /// Where the examples come from, for a bundle that says nothing else.
    pub(super) fn described(&self) -> String {
        let short = |name: &str| within(name, DESCRIPTION_BYTES_MAX / 2);
        match self {
            Self::Examples(Source::Examples(shown)) => {
                format!("taught from {} examples that were named", shown.len())
            }
            Self::Examples(Source::Attribute(attribute)) => {
                format!("taught from items by their labels of {:?}", short(attribute))
            }
            Self::Examples(Source::Field(field)) => {
                format!("taught from items by their field {:?}", short(field))
            }
            Self::Words(words) => {
                format!("taught from words for its {} labels, and no examples", words.len())
            }
        }
    }

    /// What is said where nothing is set.
    pub(super) fn missing() -> Error {
        Error::invalid("source", "set one of examples, label_attribute, field and words")
    }
}

fn shown(examples: Vec<v1::TaughtExample>) -> Result<Vec<Shown>, Error> {
    let mut shown = Vec::with_capacity(examples.len());
    for (at, v1::TaughtExample { label, of }) in examples.into_iter().enumerate() {
        let of = match of {
            Some(Of::ItemId(id)) => ShownOf::Item(id),
            Some(Of::Image(image)) => ShownOf::Photo(image),
            None => {
                return Err(Error::invalid(
                    format!("examples.examples[{at}]"),
                    "set one of item_id and image",
                ));
            }
        };
        shown.push(Shown { label, of });
    }
    Ok(shown)
}
