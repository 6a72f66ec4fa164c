//! What a head sees in a signature: the one rule of Describe, of explanations and of filters on predicted labels.

use lapel_heads::{Attribute, Head, LabelScore, PartsCase};

/// The likeliest label.
pub struct Seen {
    /// The label.
    pub label: String,
    /// Its probability, 0 to 1.
    pub probability: f32,
    /// Whether it is less probable than its threshold: it may be shown as a guess, and decides nothing.
    pub unsure: bool,
}

/// Whether a head's predictions mean anything for a picture of this case.
#[must_use]
pub fn applies(head: &Head, case: Option<PartsCase>) -> bool {
    case.is_none_or(|case| case.has(head.manifest().region))
}

/// The label seen of an attribute: the predicted one, when the garment has the region.
#[must_use]
pub fn seen(head: &Head, attribute: &Attribute, signature: &[f32], case: Option<PartsCase>) -> Option<Seen> {
    if !applies(head, case) {
        return None;
    }
    let score: LabelScore = head.predict(attribute, signature)?;
    let unsure = head.is_unsure(attribute, &score);
    Some(Seen { label: score.label, probability: score.probability, unsure })
}
