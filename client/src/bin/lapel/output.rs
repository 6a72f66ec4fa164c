//! Tables, JSON and errors.

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use lapel_client::fields::show_value;
use lapel_client::v1;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use std::collections::BTreeMap;
use std::io::Write;
use tonic_types::StatusExt;

/// A table with a header; columns as wide as the terminal allows.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// Prints lines to standard output.
pub(crate) fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("writing to standard output")
}

/// Prints a line to standard error, beside what is asked for.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "note: {text}");
}

/// Prints a message of `lapel.v1` as JSON, in proto3's own mapping. Fields that are 0 or empty are there too: a distance of
/// 0 is a distance.
pub(crate) fn json<M: Message>(name: &str, message: &M) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(&value(name, message)?)?)
}

/// A message of `lapel.v1` as part of a larger JSON document.
pub(crate) fn value<M: Message>(name: &str, message: &M) -> anyhow::Result<serde_json::Value> {
    let pool = DescriptorPool::decode(lapel_proto::FILE_DESCRIPTOR_SET)?;
    let descriptor = pool.get_message_by_name(&format!("lapel.v1.{name}")).context("an unknown message")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    // Through a value, so that the keys come in the same order every time.
    let options = SerializeOptions::new().skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// `attribute: label` pairs on one line.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(a, l)| format!("{a}: {l}")).collect::<Vec<_>>().join(", ")
}

/// `field: value` pairs on one line.
pub(crate) fn fields(fields: &BTreeMap<String, v1::FieldValue>) -> String {
    fields.iter().map(|(f, value)| format!("{f}: {}", show_value(value))).collect::<Vec<_>>().join(", ")
}

/// A change of an attribute, as it is asked for.
pub(crate) fn change(manipulation: &v1::Manipulation) -> String {
    format!("{} = {}", manipulation.attribute, manipulation.label)
}

/// Weights on one line, heaviest first.
pub(crate) fn weights(weights: &BTreeMap<String, f64>) -> String {
    let mut sorted: Vec<_> = weights.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    sorted.into_iter().map(|(head, w)| format!("{head} {w:.2}")).collect::<Vec<_>>().join(", ")
}

/// Weights on one line, in their order, each with what led to it: `collar 4.10 (edited), category 2.20 (sure 93 %)`.
pub(crate) fn explained_weights(weights: &[v1::HeadWeight]) -> String {
    let one = |w: &v1::HeadWeight| {
        let given = match w.given_weight {
            Some(_) if w.factor != 1.0 => Some(format!("given × {:.2}", w.factor)),
            Some(_) => Some("given".to_owned()),
            None => None,
        };
        let edited = w.edited.then(|| "edited".to_owned());
        let sure = w.confidence.map(|p| format!("sure {:.0} %", 100.0 * p));
        let why: Vec<_> = [given, edited, sure].into_iter().flatten().collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        format!("{} {:.2}{why}", w.head, w.weight)
    };
    weights.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether writing failed because nobody reads any more. A connection that broke is an error of another type, whatever lies
/// behind it.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let written = error.downcast_ref::<std::io::Error>();
    written.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints an error with every fault that the server names.
pub(crate) fn report(error: &anyhow::Error) {
    let mut out = std::io::stderr().lock();
    let Some(status) = error.chain().find_map(|cause| cause.downcast_ref::<tonic::Status>()) else {
        let _ = writeln!(out, "error: {error:#}");
        return;
    };
    let details = status.get_error_details();
    let violations = details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default();
    if violations.len() > 1 {
        let _ = writeln!(out, "error: the request is not acceptable ({:?})", status.code());
        for v in violations {
            let _ = writeln!(out, "  {}: {}", v.field, v.description);
        }
    } else {
        let _ = writeln!(out, "error: {} ({:?})", status.message(), status.code());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_error_and_a_connection_that_broke_is_one() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let written: anyhow::Result<()> = Err(broken()).context("writing to standard output");
        assert!(is_broken_pipe(&written.expect_err("an error")));
        assert!(!is_broken_pipe(&tonic::Status::from_error(Box::new(broken())).into()));
    }

    #[test]
    fn json_keeps_a_distance_of_0() {
        let result = v1::SearchResult { item_id: "a".into(), distance: 0.0, ..Default::default() };
        let value = value("SearchResult", &result).expect("written");
        assert_eq!((value["itemId"].as_str(), value["distance"].as_f64()), (Some("a"), Some(0.0)), "{value}");
    }

    #[test]
    fn weights_say_what_led_to_them() {
        let own = |head: &str, weight| v1::HeadWeight {
            head: head.into(),
            weight,
            own_weight: weight,
            factor: 1.0,
            ..Default::default()
        };
        let weights = [
            v1::HeadWeight { edited: true, factor: 2.5, ..own("sleeve_length", 4.1) },
            v1::HeadWeight { confidence: Some(0.934), factor: 0.966, ..own("category", 2.2) },
            v1::HeadWeight { given_weight: Some(1.2), edited: true, factor: 2.5, ..own("collar", 1.5) },
            v1::HeadWeight { given_weight: Some(0.5), edited: true, ..own("color", 0.5) },
            own("fit", 0.25),
        ];
        assert_eq!(
            explained_weights(&weights),
            "sleeve_length 4.10 (edited), category 2.20 (sure 93 %), collar 1.50 (given × 2.50, edited), \
             color 0.50 (given, edited), fit 0.25"
        );
    }
}
