//! `lapel heads compare`: two versions of a head on the items that carry labels.

use crate::{asked, output, worth};
use clap::Args;
use lapel_client::{Client, v1};

#[derive(Args)]
pub(crate) struct Options {
    /// The head's name.
    name: String,
    /// The version; the newest on standby where none is given.
    #[arg(default_value_t = 0, hide_default_value = true)]
    version: u32,
    /// The version to compare it with; the one that serves where none is given.
    #[arg(default_value_t = 0, hide_default_value = true)]
    other: u32,
    /// Only items that pass this filter, as in `brand = acme`. Default: all that carry a label.
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<String>,
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let Options { name, version, other, expression } = options;
    let request = v1::CompareHeadsRequest {
        name: name.clone(),
        version: *version,
        other_version: *other,
        filter: asked::filter_of(client, expression.as_deref()).await?,
    };
    let answer = client.heads.compare_heads(request).await?.into_inner();
    if json {
        return output::json("CompareHeadsResponse", &answer);
    }
    let named = names(*version, *other);
    answer.attributes.iter().try_for_each(|attribute| show(attribute, &named))?;
    output::say("items that taught one of them are told better by it than others would be")
}

/// Shows a version that is to serve beside the one that does, on the items that carry labels. Where they cannot be compared
/// that is only noted: nothing forbids to promote the version.
pub(crate) async fn before_promotion(client: &mut Client, name: &str, version: u32) -> anyhow::Result<()> {
    let request = v1::CompareHeadsRequest { name: name.to_owned(), version, ..Default::default() };
    let answer = match client.heads.compare_heads(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            output::note(format!("not compared with the version that serves: {}", status.message()));
            return Ok(());
        }
    };
    let has_items =
        |compared: &&v1::ComparedAttribute| compared.worth.as_ref().is_some_and(|worth| worth.examples > 0);
    let compared: Vec<&v1::ComparedAttribute> = answer.attributes.iter().filter(has_items).collect();
    if compared.is_empty() {
        output::note(
            "not compared with the version that serves: no item with signatures of both carries a label that both know",
        );
    }
    let named = names(version, 0);
    compared.into_iter().try_for_each(|attribute| show(attribute, &named))
}

/// What two versions are called; 0 is the one on standby, and the one that serves.
fn names(version: u32, other: u32) -> [String; 2] {
    [(version, "on standby"), (other, "that serves")].map(|(number, which)| match number {
        0 => format!("the one {which}"),
        number => format!("version {number}"),
    })
}

fn show(compared: &v1::ComparedAttribute, named: &[String; 2]) -> anyhow::Result<()> {
    let v1::ComparedAttribute {
        attribute,
        worth,
        other_worth,
        gained,
        lost,
        signed_items,
        other_signed_items,
    } = compared;
    let [name, other_name] = named;
    let rows = [(name, worth), (other_name, other_worth)];
    let rows: Vec<(String, &v1::HeadWorth)> =
        rows.into_iter().filter_map(|(name, worth)| Some((name.clone(), worth.as_ref()?))).collect();
    output::say(format!("{attribute}:"))?;
    output::say(worth::figures(&rows))?;
    output::say(format!(
        "{gained} items are told right by {name} alone, {lost} by {other_name} alone; {signed_items} and \
         {other_signed_items} items have a signature"
    ))
}
