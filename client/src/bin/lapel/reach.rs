//! What the wanted labels of a search lead to, in words.

use crate::output;
use lapel_client::v1;

/// Lines on what is attainable: that no item has all that is wanted, and how to come closest. None where some items have
/// it: the results are those.
pub(crate) fn lines(
    wanted: &[v1::ManipulationEffect],
    attainability: Option<&v1::Attainability>,
) -> Vec<String> {
    let Some(attainability) = attainability.filter(|attainability| attainability.items == 0) else {
        return Vec::new();
    };
    let all: Vec<String> =
        wanted.iter().map(|wanted| format!("{} = {}", wanted.attribute, wanted.label)).collect();
    let mut lines = vec![format!("No item that passes has all of: {}", all.join(", "))];
    lines.extend(attainability.changes.iter().map(|change| format!("  closest: {}", way(change))));
    if attainability.changes.is_empty() {
        lines.push("  and none has any part of it".to_owned());
    }
    lines
}

fn way(change: &v1::AttainableChange) -> String {
    let items = if change.items == 1 { "item" } else { "items" };
    let led_to = format!("{} {items}, best {}", change.items, change.best_item_id);
    match &change.replaced {
        Some(replaced) => format!(
            "{} = {} in place of {} ({led_to}; {:.2} apart)",
            replaced.attribute, change.replacement, replaced.label, change.prototype_distance
        ),
        None => {
            let given_up: Vec<String> = change.given_up.iter().map(output::change).collect();
            format!("give up {} ({led_to})", given_up.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_item_has_is_told_with_what_comes_closest() {
        let edit = |attribute: &str, label: &str| v1::Manipulation {
            attribute: attribute.into(),
            label: label.into(),
        };
        let wanted = [("color", "red"), ("collar", "polo")].map(|(attribute, label)| {
            v1::ManipulationEffect { attribute: attribute.into(), label: label.into(), ..Default::default() }
        });
        let give_up = v1::AttainableChange {
            given_up: vec![edit("collar", "polo")],
            items: 12,
            best_item_id: "a".into(),
            ..Default::default()
        };
        let replace = v1::AttainableChange {
            replaced: Some(edit("color", "red")),
            replacement: "wine".into(),
            prototype_distance: 0.314,
            items: 1,
            best_item_id: "b".into(),
            ..Default::default()
        };
        let none = v1::Attainability { items: 0, changes: vec![give_up, replace] };
        assert_eq!(
            lines(&wanted, Some(&none)),
            [
                "No item that passes has all of: color = red, collar = polo",
                "  closest: give up collar = polo (12 items, best a)",
                "  closest: color = wine in place of red (1 item, best b; 0.31 apart)",
            ]
        );
        let some = v1::Attainability { items: 3, changes: Vec::new() };
        assert!(lines(&wanted, Some(&some)).is_empty() && lines(&wanted, None).is_empty());
    }
}
