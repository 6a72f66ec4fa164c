//! `lapel describe`.

use crate::input::{Subject, head_versions, refused, subject};
use crate::output;
use clap::Args;
use lapel_client::{Client, v1};

#[derive(Args)]
pub(crate) struct Options {
    /// A photo (JPEG, PNG, WebP) or an item's id; `item:ID` where a file has that name too.
    subject: String,
    /// Labels to show an attribute.
    #[arg(long, default_value_t = 3)]
    labels: u32,
    /// Fetch the signatures too (shown with --json).
    #[arg(long)]
    signatures: bool,
    /// One of the item's images, from 0 on. Default: the item as it is found, the mean of several.
    #[arg(long, value_name = "NUMBER")]
    picture: Option<u32>,
    /// Describe by this version of a head, which serves or stands by: `--head-version season=2`; may be repeated.
    #[arg(long = "head-version", value_name = "HEAD=VERSION")]
    head_versions: Vec<String>,
}

pub(crate) async fn run(client: &mut Client, options: Options, json: bool) -> anyhow::Result<()> {
    let source = match subject(&options.subject)? {
        Subject::Photo(bytes) => v1::describe_request::Source::Image(bytes),
        Subject::Item(id) => v1::describe_request::Source::ItemId(id),
    };
    let request = v1::DescribeRequest {
        source: Some(source),
        include_signatures: options.signatures,
        labels_max: options.labels,
        picture: options.picture,
        head_versions: head_versions(&options.head_versions)?,
    };
    let answer = client.search.describe(request).await;
    let answer = answer.map_err(|status| refused(&options.subject, status))?.into_inner();
    if json {
        return output::json("DescribeResponse", &answer);
    }
    let mut table = output::table(&["attribute", "label", "other guesses", "stored"]);
    for attribute in &answer.attributes {
        let (best, others) = guesses(attribute);
        let stored = answer.stored_labels.get(&attribute.attribute).cloned().unwrap_or_default();
        table.add_row([attribute.attribute.clone(), best, others, stored]);
    }
    output::say(table)?;
    if shows_no_garment(&answer) {
        output::say("no garment was found in this picture: what is told of it are guesses")?;
    }
    if let Some(parts) = answer.parts {
        let names: Vec<&str> = parts.rects.keys().map(String::as_str).collect();
        let found =
            if names.is_empty() { "none, the whole picture is read".to_owned() } else { names.join(", ") };
        let how = if parts.segmented || names.is_empty() {
            ""
        } else {
            " (by usual proportions: no silhouette found)"
        };
        output::say(format!("case: {}; parts: {found}{how}", parts.case))?;
    }
    Ok(())
}

/// Whether the model's mask found no garment: nothing is told from the background, and every prediction is
/// unsure.
fn shows_no_garment(answer: &v1::DescribeResponse) -> bool {
    let found = answer.parts.as_ref().is_none_or(|parts| parts.segmented);
    !found && !answer.attributes.is_empty() && answer.attributes.iter().all(|attribute| attribute.unsure)
}

/// What is told of an attribute, and the other guesses.
fn guesses(attribute: &v1::PredictedAttribute) -> (String, String) {
    let mut labels = attribute.labels.iter().map(|l| format!("{} {:.0} %", l.label, 100.0 * l.probability));
    let best = labels.next().unwrap_or_default();
    let best = if attribute.unsure { format!("unsure: {best}") } else { best };
    (best, labels.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_below_its_threshold_is_not_told_as_known() {
        let label = |label: &str, probability| v1::LabelProbability { label: label.into(), probability };
        let labels = vec![label("v-neck", 0.412), label("round", 0.3)];
        let known = v1::PredictedAttribute { labels, ..Default::default() };
        let unsure = v1::PredictedAttribute { unsure: true, ..known.clone() };
        assert_eq!(guesses(&known), ("v-neck 41 %".to_owned(), "round 30 %".to_owned()));
        assert_eq!(guesses(&unsure), ("unsure: v-neck 41 %".to_owned(), "round 30 %".to_owned()));
    }

    #[test]
    fn a_picture_without_a_garment_is_told_as_such() {
        let answer = |segmented: Option<bool>, unsure: &[bool]| v1::DescribeResponse {
            parts: segmented.map(|segmented| v1::Parts { segmented, ..Default::default() }),
            attributes: unsure
                .iter()
                .map(|unsure| v1::PredictedAttribute { unsure: *unsure, ..Default::default() })
                .collect(),
            ..Default::default()
        };
        assert!(shows_no_garment(&answer(Some(false), &[true, true])));
        for (segmented, unsure) in [
            (Some(true), vec![true, true]),
            // A model without a mask is sure of something.
            (Some(false), vec![true, false]),
            (Some(false), vec![]),
            // An item without an image has no parts.
            (None, vec![true]),
        ] {
            assert!(!shows_no_garment(&answer(segmented, &unsure)), "{segmented:?} {unsure:?}");
        }
    }
}
