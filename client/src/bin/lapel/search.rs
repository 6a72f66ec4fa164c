//! `lapel search`.

use crate::asked;
use crate::results::{self, Look};
use crate::{facets, html, input, output, reach};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use lapel_client::filter_text::Known;
use lapel_client::{Client, v1};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// A photo (JPEG, PNG, WebP) or an item's id; `item:ID` where a file has that name too.
    subject: String,
    /// Change an attribute: `--set sleeve_length=sleeveless`; may be repeated.
    #[arg(long = "set", value_name = "ATTRIBUTE=LABEL")]
    set: Vec<String>,
    /// Weigh a head: `--weight color=3`; may be repeated.
    #[arg(long = "weight", value_name = "HEAD=NUMBER", conflicts_with = "profile")]
    weight: Vec<String>,
    /// Ignore the heads that --weight does not name.
    #[arg(long, requires = "weight")]
    only: bool,
    /// Use the weights of a saved profile.
    #[arg(long)]
    profile: Option<String>,
    #[command(flatten)]
    results: Results,
    #[command(flatten)]
    pages: Pages,
    #[command(flatten)]
    counts: Counted,
    /// Search by this version of a head, which serves or stands by: `--head-version season=2`; may be repeated.
    #[arg(long = "head-version", value_name = "HEAD=VERSION")]
    head_versions: Vec<String>,
    /// Force the exact scan.
    #[arg(long)]
    exact: bool,
}

/// How results are grouped, spread and passed over.
#[derive(Args)]
struct Pages {
    /// One result for each value of a field, as in `--group-by product`; -k is then the number of groups, and --offset
    /// passes over groups.
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["diverse", "page", "pages"])]
    group_by: Option<String>,
    /// Results a group.
    #[arg(long, value_name = "NUMBER", requires = "group_by")]
    per_group: Option<u32>,
    /// Results that differ among themselves: 0 (only difference) to 1 (only likeness), as in `--diverse 0.7`.
    #[arg(long, value_name = "RELEVANCE", conflicts_with_all = ["page", "pages"])]
    diverse: Option<f64>,
    /// Nearest results that different ones are chosen from. Default: 4 times -k.
    #[arg(long, value_name = "NUMBER", requires = "diverse")]
    pool: Option<u32>,
    /// Results to pass over at the beginning.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, conflicts_with_all = ["page", "pages"])]
    offset: u32,
    /// Go on behind a page: what the same search said for its next one. Its results are numbered from 1 again.
    #[arg(long, value_name = "TOKEN")]
    page: Option<String>,
    /// Pages of -k results to fetch; the token of the page behind them is told.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pages: Option<u32>,
}

/// What is counted.
#[derive(Args)]
struct Counted {
    /// Count all items that pass the filters by the labels of an attribute or the values of a field, as in `--facet brand`,
    /// or between bounds, as in `--facet price=20,50`; may be repeated.
    #[arg(long = "facet", value_name = "NAME[=BOUND,...]")]
    facet: Vec<String>,
    /// Count the results themselves; may be repeated.
    #[arg(long = "result-facet", value_name = "NAME[=BOUND,...]", conflicts_with_all = ["page", "pages"])]
    result_facet: Vec<String>,
}

/// Which results, and how they are shown.
#[derive(Args)]
pub(crate) struct Results {
    /// Results wanted.
    #[arg(short, default_value_t = 10)]
    pub(crate) k: u32,
    /// Only results of at most this distance, as the results tell it; there may be fewer than -k, or none.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) distance_max: Option<f64>,
    /// Only items with a stored label: `--filter category=dress,skirt`; may be repeated.
    #[arg(long = "filter", value_name = "ATTRIBUTE=LABEL,...")]
    pub(crate) filter: Vec<String>,
    /// Only items that pass this filter: `--where 'in_stock = true and price < 50 and color in (red, blue)'`. Names are
    /// fields or attributes; and, or, not, parentheses, =, !=, <, <=, >, >=, in (...), exists NAME, missing NAME. What a head
    /// sees: `predicted.color = red`, or with a least probability `predicted.color in (red, blue) @ 0.8`.
    #[arg(long = "where", value_name = "EXPRESSION")]
    pub(crate) expression: Option<String>,
    /// Show fields or labels as columns: `--show price,brand`.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) show: Vec<String>,
    /// What of an item with several images is compared: the nearest of them (or their mean, where that is nearer), or their mean alone. Default: nearest.
    #[arg(long, value_name = "WHAT", value_parser = ["nearest", "mean"])]
    pub(crate) pictures: Option<String>,
    /// Leave an item out; may be repeated.
    #[arg(long = "exclude", value_name = "ID")]
    pub(crate) exclude: Vec<String>,
    /// Explain each result.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write the results with their pictures to a web page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl Results {
    pub(crate) fn filters(&self) -> anyhow::Result<Vec<v1::LabelFilter>> {
        self.filter.iter().map(|f| input::filter(f)).collect()
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.expression.is_some() || !self.filter.is_empty()
    }

    /// What of an item with several images is compared.
    pub(crate) fn picture_mode(&self) -> v1::PictureMode {
        match self.pictures.as_deref() {
            Some("mean") => v1::PictureMode::Mean,
            Some(_) => v1::PictureMode::Nearest,
            None => v1::PictureMode::Unspecified,
        }
    }

    /// A page always explains.
    pub(crate) fn explained(&self) -> bool {
        self.explain || self.html.is_some()
    }
}

pub(crate) async fn run(client: &mut Client, options: &Options, json: bool) -> anyhow::Result<()> {
    let counts = &options.counts;
    let names =
        options.results.expression.is_some() || !counts.facet.is_empty() || !counts.result_facet.is_empty();
    let known = if names { asked::known(client).await? } else { Known::default() };
    let request = options.request(&known)?;
    let answer = pages(client, &request, options.pages.pages.unwrap_or(1)).await;
    let answer = answer.map_err(|status| input::refused(&options.subject, status))?;
    let (all, best) = (
        facets::counts(&request.facets, &answer.facets),
        facets::counts(&request.result_facets, &answer.result_facets),
    );
    let notes = reach::lines(&answer.manipulations, answer.attainability.as_ref());
    let group_by = options.pages.group_by.as_deref();
    let ranked = match group_by {
        Some(_) => results::grouped(&answer.groups, options.pages.offset),
        None => results::ranked(&answer.results, options.pages.offset),
    };
    if let Some(file) = &options.results.html {
        let changes = answer.manipulations.iter().map(|m| format!("{} → {}", m.attribute, m.label)).collect();
        let page = html::Page {
            query: request.query.as_ref(),
            changes,
            notes: &notes,
            weights: &answer.head_weights,
            ranked: &ranked,
            counts: &[("among all that pass", all.as_slice()), ("among the results", best.as_slice())],
        };
        page.write(client, file).await?;
    }
    if json {
        return output::json("SearchResponse", &answer);
    }
    tell_changes(&answer)?;
    notes.iter().try_for_each(output::say)?;
    results::print(
        &ranked,
        &Look { explain: options.results.explain, group_by, columns: &options.results.show },
    )?;
    facets::print("among all that pass", &all)?;
    facets::print("among the results", &best)?;
    if options.results.is_filtered() {
        output::say(format!("{} items pass", answer.items_passing))?;
    }
    let weights = results::shown_weights(&answer.head_weights, &answer.weights, options.results.explain);
    results::summary(&weights, answer.plan.as_ref(), answer.generation)?;
    if !answer.next_page_token.is_empty() {
        output::say(format!("next page: --page {}", URL_SAFE_NO_PAD.encode(&answer.next_page_token)))?;
    }
    results::wrote(options.results.html.as_ref())
}

impl Options {
    fn request(&self, known: &Known) -> anyhow::Result<v1::SearchRequest> {
        use v1::search_request::Weighting;
        let by_head = self.weight.iter().map(|w| input::weight(w)).collect::<anyhow::Result<_>>()?;
        let weighting = match &self.profile {
            Some(profile) => Some(Weighting::Profile(profile.clone())),
            None if self.weight.is_empty() => None,
            None => Some(Weighting::Weights(v1::Weights { by_head, only_named: self.only })),
        };
        let Pages { group_by, per_group, diverse, pool, offset, page, pages } = &self.pages;
        let facets = |names: &[String]| -> anyhow::Result<Vec<v1::FacetRequest>> {
            names.iter().map(|name| asked::facet(name, known)).collect()
        };
        let expression = self.results.expression.as_deref();
        Ok(v1::SearchRequest {
            query: Some(input::subject(&self.subject)?.into_query()),
            manipulations: self.set.iter().map(|m| input::manipulation(m)).collect::<anyhow::Result<_>>()?,
            weighting,
            filters: self.results.filters()?,
            exclude_ids: self.results.exclude.clone(),
            k: self.results.k,
            explain: self.results.explained(),
            exact: self.exact,
            plan: v1::PlanKind::Unspecified.into(),
            distance_max: self.results.distance_max,
            show_fields: self.results.show.clone(),
            filter: expression.map(|text| asked::filter(text, known)).transpose()?,
            group_by: group_by.as_ref().map(|field| v1::Grouping {
                field: field.clone(),
                results_max: per_group.unwrap_or_default(),
            }),
            diversity: diverse.map(|relevance| v1::Diversity { relevance, pool: pool.unwrap_or_default() }),
            offset: *offset,
            page_token: page.as_deref().map(page_token).transpose()?.unwrap_or_default(),
            paged: page.is_some() || pages.is_some(),
            facets: facets(&self.counts.facet)?,
            result_facets: facets(&self.counts.result_facet)?,
            pictures: self.results.picture_mode().into(),
            head_versions: input::head_versions(&self.head_versions)?,
        })
    }
}

/// The bytes of a token, as this command prints it or as JSON has it.
fn page_token(text: &str) -> anyhow::Result<Vec<u8>> {
    let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(plain).context("--page takes the token that a search printed, whole and unchanged")
}

/// The results of several pages as those of one.
async fn pages(
    client: &mut Client,
    request: &v1::SearchRequest,
    pages: u32,
) -> Result<v1::SearchResponse, tonic::Status> {
    let mut whole = client.search.search(request.clone()).await?.into_inner();
    for _ in 1..pages {
        if whole.next_page_token.is_empty() {
            break;
        }
        let page_token = std::mem::take(&mut whole.next_page_token);
        // The token holds what the query was seen as: its picture need not be sent again.
        let next = v1::SearchRequest { query: None, page_token: page_token.clone(), ..request.clone() };
        let page = match client.search.search(next).await {
            Ok(page) => page.into_inner(),
            // What has come is not lost: pages have an end, and may expire.
            Err(status) => {
                output::note(format!("no further page: {}", status.message()));
                whole.next_page_token = page_token;
                break;
            }
        };
        whole.results.extend(page.results);
        whole.next_page_token = page.next_page_token;
    }
    Ok(whole)
}

/// Says what became of the changes that were asked for.
fn tell_changes(answer: &v1::SearchResponse) -> anyhow::Result<()> {
    for m in &answer.manipulations {
        let whose = if m.prototype_from_catalog { "items of the catalogue" } else { "items of its training" };
        output::say(format!(
            "{} = {}: head {}, prototype of {} {whose}; {} items carry the label",
            m.attribute, m.label, m.head, m.prototype_count, m.items_with_label
        ))?;
    }
    if answer.manipulations.len() > 1 {
        output::say(format!("{} items carry all wanted labels together", answer.items_with_all_labels))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_printed_and_as_json_has_it() {
        use base64::engine::general_purpose::STANDARD;
        for token in [vec![0xfb, 0xff, 0xfe], vec![1], vec![0xff; 100]] {
            for text in [URL_SAFE_NO_PAD.encode(&token), STANDARD.encode(&token)] {
                assert_eq!(page_token(&text).expect("read"), token, "{text}");
            }
        }
        assert!(page_token("not a token").is_err());
    }
}
