//! What heads are worth, as tables.

use crate::output;
use comfy_table::Table;
use lapel_client::v1;

/// What no signal means, in words.
pub(crate) const NO_SIGNAL: &str = "no signal: always answering the most frequent label would be right as often, as far as these examples tell";

/// Shares told right beside what a guess would reach, a row each, named.
pub(crate) fn figures(worths: &[(String, &v1::HeadWorth)]) -> Table {
    let mut table =
        output::table(&["", "examples", "accuracy", "95 %", "majority", "balanced", "calibration error"]);
    for (name, worth) in worths {
        let accuracy = worth.accuracy.as_ref();
        let (value, low, high) =
            accuracy.map_or((0.0, 0.0, 0.0), |share| (share.value, share.low, share.high));
        table.add_row([
            name.clone(),
            worth.examples.to_string(),
            percent(value),
            format!("{} to {}", percent(low), percent(high)),
            percent(worth.majority),
            percent(worth.balanced_accuracy),
            format!("{:.3}", worth.calibration_error),
        ]);
    }
    table
}

/// What is told of each label's examples.
pub(crate) fn labels(worth: &v1::HeadWorth) -> Table {
    let mut table = output::table(&["label", "examples", "told right", "taken for"]);
    for label in &worth.labels {
        let mut others: Vec<(&String, u64)> = label.told.iter().map(|(told, count)| (told, *count)).collect();
        others.retain(|(told, count)| **told != label.label && *count > 0);
        others.sort_by_key(|other| std::cmp::Reverse(other.1));
        let others: Vec<String> = others.iter().map(|(told, count)| format!("{told} {count}")).collect();
        table.add_row([
            label.label.clone(),
            label.examples.to_string(),
            percent(label.recall),
            others.join(", "),
        ]);
    }
    table
}

/// Examples that look mislabelled. `photos` are the names of those that were sent along.
pub(crate) fn doubtful(worth: &v1::HeadWorth, photos: &[String]) -> Table {
    let mut table = output::table(&["perhaps mislabelled", "label", "looks like"]);
    for example in &worth.doubtful {
        let at = usize::try_from(example.example).ok();
        let name = match at.and_then(|at| photos.get(at)) {
            _ if !example.item_id.is_empty() => example.item_id.clone(),
            Some(photo) => photo.clone(),
            None => format!("example {}", example.example),
        };
        let told = format!("{} {:.0} %", example.told, 100.0 * example.probability);
        table.add_row([name, example.label.clone(), told]);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_shown_with_what_they_were_taken_for_and_examples_by_name() {
        let told = [("over", 7), ("top", 2), ("bottom", 1), ("whole", 0)];
        let over = v1::LabelWorth {
            label: "over".into(),
            examples: 10,
            recall: 0.7,
            told: told.into_iter().map(|(label, count)| (label.to_owned(), count)).collect(),
        };
        let doubt = |item_id: &str, example| v1::DoubtfulExample {
            item_id: item_id.into(),
            example,
            label: "over".into(),
            told: "top".into(),
            probability: 0.934,
        };
        let worth = v1::HeadWorth {
            examples: 10,
            accuracy: Some(v1::Share { value: 0.7, low: 0.4, high: 0.89 }),
            labels: vec![over],
            doubtful: vec![doubt("coat-01", 0), doubt("", 1), doubt("", 2)],
            ..v1::HeadWorth::default()
        };
        let text = labels(&worth).to_string();
        assert!(text.contains("70.0 %") && text.contains("top 2, bottom 1 "), "{text}");
        let text = figures(&[("layer".into(), &worth)]).to_string();
        assert!(text.contains("40.0 % to 89.0 %"), "{text}");
        let text = doubtful(&worth, &["over/a.jpg".into(), "over/b.jpg".into()]).to_string();
        for shown in ["coat-01", "over/b.jpg", "example 2", "top 93 %"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(!text.contains("over/a.jpg"), "{text}");
    }
}
