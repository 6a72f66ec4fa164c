//! What is asked for, and what it is asked with.

use anyhow::{Context, bail};
use lapel_client::{Client, v1};
use rand::prelude::*;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Items that are asked for; more would say no more about the server.
const ITEMS_MAX: usize = 2000;
/// Photos that are asked with.
const PHOTOS_MAX: usize = 64;
/// Begins the ids of ingested items, so that they can be told and deleted.
const INGESTED: &str = "lapel-load-";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Describe,
    Image,
    Item,
    Manipulated,
    Personalised,
    Ingest,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Describe, Self::Image, Self::Item, Self::Manipulated, Self::Personalised, Self::Ingest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Image => "image",
            Self::Item => "item",
            Self::Manipulated => "manipulated",
            Self::Personalised => "personalised",
            Self::Ingest => "ingest",
        }
    }

    fn needs_photos(self) -> bool {
        matches!(self, Self::Describe | Self::Image | Self::Ingest)
    }
}

/// Shares of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix(Vec<(Kind, f64)>);

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Kind::ALL.map(Kind::name).join(", ");
        let share = |part: &str| {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
            let kind = kind.ok_or_else(|| format!("{name:?} is no kind of request; there are: {names}"))?;
            let share: f64 = share.trim().parse().map_err(|_| format!("{share:?} is no share"))?;
            let sound = share.is_finite() && share >= 0.0;
            if sound { Ok((kind, share)) } else { Err(format!("a share is at least 0, not {share}")) }
        };
        let shares: Vec<(Kind, f64)> = text.split(',').map(share).collect::<Result<_, String>>()?;
        if shares.iter().map(|(_, share)| share).sum::<f64>() <= 0.0 {
            return Err("at least one share is above 0".into());
        }
        Ok(Self(shares))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.0.iter().map(|(kind, share)| format!("{}={share}", kind.name())).collect();
        f.write_str(&parts.join(","))
    }
}

impl Mix {
    /// One of the kinds, as often as its share says.
    pub(crate) fn draw(&self, rng: &mut impl RngExt) -> Kind {
        let total: f64 = self.0.iter().map(|(_, share)| share).sum();
        let mut at = rng.random_range(0.0..total);
        for (kind, share) in &self.0 {
            if at < *share {
                return *kind;
            }
            at -= share;
        }
        self.0[0].0
    }

    fn has(&self, wanted: impl Fn(Kind) -> bool) -> bool {
        self.0.iter().any(|(kind, share)| *share > 0.0 && wanted(*kind))
    }
}

/// What requests are made of.
pub(crate) struct Material {
    items: Vec<String>,
    photos: Vec<Vec<u8>>,
    /// Attribute and label.
    edits: Vec<(String, String)>,
    k: u32,
}

/// A request that is ready to be sent.
pub(crate) enum Ready {
    Describe(v1::DescribeRequest),
    Search(v1::SearchRequest),
    Personalise(v1::PersonaliseRequest),
    Ingest(v1::UpsertItemsRequest),
}

impl Material {
    /// Asks the server what it has, as far as the mix needs it.
    pub(crate) async fn gather(
        client: &mut Client,
        mix: &Mix,
        photos: Option<&Path>,
        k: u32,
    ) -> anyhow::Result<Self> {
        let mut items = Vec::new();
        let mut page_token = String::new();
        while items.len() < ITEMS_MAX {
            let request = v1::ListItemsRequest { page_size: 1000, page_token, ..Default::default() };
            let page = client.catalog.list_items(request).await?.into_inner();
            items.extend(page.items.into_iter().map(|item| item.id).filter(|id| !id.starts_with(INGESTED)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if items.is_empty() {
            bail!("the catalogue is empty; import items first, or run `lapel-server demo`");
        }
        let labels = client.labels("").await?;
        let edits = labels.attributes.into_iter().flat_map(|a| {
            let name = a.attribute;
            let usable = a.labels.into_iter().filter(|l| l.prototype_count > 0);
            usable.map(move |l| (name.clone(), l.label)).collect::<Vec<_>>()
        });
        let mut found = Self { items, photos: Vec::new(), edits: edits.collect(), k };
        if mix.has(|kind| kind == Kind::Manipulated) && found.edits.is_empty() {
            bail!("no label has a prototype to ask for; leave `manipulated` out of the mix");
        }
        if mix.has(Kind::needs_photos) {
            found.photos = match photos {
                Some(folder) => read_photos(folder)?,
                None => found.photos_of_items(client).await?,
            };
        }
        Ok(found)
    }

    async fn photos_of_items(&self, client: &mut Client) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut photos = Vec::new();
        for id in self.items.iter().take(PHOTOS_MAX) {
            match client.image(id, 0).await {
                Ok(answer) => photos.push(answer.image),
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(status.into()),
            }
        }
        if photos.is_empty() {
            bail!("the catalogue's items have no photos; give some with --photos FOLDER");
        }
        Ok(photos)
    }

    /// A request of a kind; `number` tells it from others of the run.
    pub(crate) fn ready(&self, kind: Kind, number: u64, rng: &mut impl RngExt) -> Ready {
        let search = |source| v1::SearchRequest {
            query: Some(v1::Query { source: Some(source), also_signatures: Vec::new() }),
            k: self.k,
            ..Default::default()
        };
        match kind {
            Kind::Describe => Ready::Describe(v1::DescribeRequest {
                source: Some(v1::describe_request::Source::Image(pick(&self.photos, rng))),
                ..Default::default()
            }),
            Kind::Image => Ready::Search(search(v1::query::Source::Image(pick(&self.photos, rng)))),
            Kind::Item => Ready::Search(search(v1::query::Source::ItemId(pick(&self.items, rng)))),
            Kind::Manipulated => {
                let (attribute, label) = pick(&self.edits, rng);
                let manipulations = vec![v1::Manipulation { attribute, label }];
                let item = search(v1::query::Source::ItemId(pick(&self.items, rng)));
                Ready::Search(v1::SearchRequest { manipulations, ..item })
            }
            Kind::Personalised => Ready::Personalise(v1::PersonaliseRequest {
                picked_ids: (0..3.min(self.items.len())).map(|_| pick(&self.items, rng)).collect(),
                k: self.k,
                ..Default::default()
            }),
            Kind::Ingest => Ready::Ingest(v1::UpsertItemsRequest {
                id: format!("{INGESTED}{number}"),
                image: pick(&self.photos, rng),
                labels: BTreeMap::new(),
                ..Default::default()
            }),
        }
    }

    /// Deletes what was ingested.
    pub(crate) async fn clean_up(client: &mut Client, numbers: &[u64]) -> anyhow::Result<()> {
        for numbers in numbers.chunks(1000) {
            let ids = numbers.iter().map(|number| format!("{INGESTED}{number}")).collect();
            let request = v1::DeleteItemsRequest { ids, ..Default::default() };
            client.catalog.delete_items(request).await.context("ingested items are left behind")?;
        }
        Ok(())
    }
}

fn pick<T: Clone + Default>(of: &[T], rng: &mut impl RngExt) -> T {
    of.choose(rng).cloned().unwrap_or_default()
}

fn read_photos(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut photos = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        if ["jpg", "jpeg", "png", "webp"].contains(&ending.as_str()) && photos.len() < PHOTOS_MAX {
            photos.push(fs_err::read(path)?);
        }
    }
    if photos.is_empty() {
        bail!("{} has no JPEG, PNG or WebP files", folder.display());
    }
    Ok(photos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_mix_is_read_and_drawn_by_its_shares() {
        let mix: Mix = "item=3, image=1,ingest=0".parse().expect("sound");
        assert_eq!(mix.to_string(), "item=3,image=1,ingest=0");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<Kind> = (0..4000).map(|_| mix.draw(&mut rng)).collect();
        let items = drawn.iter().filter(|kind| **kind == Kind::Item).count();
        assert!((2850..3150).contains(&items), "{items}");
        assert!(!drawn.contains(&Kind::Ingest) && !mix.has(|kind| kind == Kind::Ingest));
        for unsound in ["tea=1", "item=x", "item=-1", "item=0", ""] {
            assert!(unsound.parse::<Mix>().is_err(), "{unsound:?}");
        }
    }
}
