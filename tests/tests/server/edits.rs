//! An edit's results among the first 20: of rendered garments, and of real photos.

use lapel_client::{Client, v1};
use lapel_heads::Labels;
use lapel_render::{Rendered, render, to_jpeg};
use lapel_tests::{TestServer, by_image, ingest, set, validation_photos};
use lapel_wardrobe::LabelledPhoto;

const SPECIAL: [&str; 6] = ["color", "pattern", "sleeve_length", "neckline", "collar", "fastening"];

async fn search(client: &mut Client, request: v1::SearchRequest) -> v1::SearchResponse {
    client.search.search(request).await.expect("answers").into_inner()
}

/// Whether `found` carries the wanted label and contradicts none of the kept ones, at least two being known.
fn is_target(query: &Labels, (attribute, label): (&str, &str), found: &Labels) -> bool {
    let kept = SPECIAL.iter().filter(|a| **a != attribute);
    let known: Vec<bool> = kept.filter_map(|a| Some(query.get(*a)? == found.get(*a)?)).collect();
    found.get(attribute).is_some_and(|l| l == label) && known.len() >= 2 && known.iter().all(|same| *same)
}

/// Hits among 20 results: manipulated, unmanipulated, and the chance of 20 random items.
struct Top20 {
    queries: f64,
    manipulated: f64,
    unmanipulated: f64,
    chance: f64,
}

impl Top20 {
    fn print(&self, title: &str) {
        let share = |hits: f64| 100.0 * hits / self.queries;
        println!(
            "{title}: top-20 after one manipulation {:.1} %, unmanipulated {:.1} %, chance {:.1} %, {} queries",
            share(self.manipulated),
            share(self.unmanipulated),
            share(self.chance),
            self.queries
        );
    }

    fn check(&self) {
        assert!(self.queries >= 30.0, "{}", self.queries);
        assert!(self.manipulated > self.unmanipulated + 0.1 * self.queries);
        assert!(self.manipulated > self.chance + 0.2 * self.queries);
    }
}

/// Each query asks for another label of the special attributes in turn: the first one told by a head that some target has.
async fn top_20(client: &mut Client, queries: &[(Vec<u8>, Labels)], gallery: &[(String, Labels)]) -> Top20 {
    // A photo may carry a label that no head tells.
    let told = client.heads.list_labels(v1::ListLabelsRequest::default()).await.expect("lists");
    let told = told.into_inner().attributes;
    let mut total = Top20 { queries: 0.0, manipulated: 0.0, unmanipulated: 0.0, chance: 0.0 };
    for (at, (image, labels)) in queries.iter().enumerate() {
        let attribute = SPECIAL[at % SPECIAL.len()];
        let told = told.iter().filter(|of| of.attribute == attribute).flat_map(|of| &of.labels);
        let mut others = told.map(|told| &told.label).filter(|label| Some(*label) != labels.get(attribute));
        let wanted = others
            .find(|label| gallery.iter().any(|(_, found)| is_target(labels, (attribute, label), found)));
        let (Some(label), true) = (wanted, labels.contains_key(attribute)) else { continue };
        let targets =
            gallery.iter().filter(|(_, found)| is_target(labels, (attribute, label), found)).count();
        let edited =
            v1::SearchRequest { manipulations: vec![set(attribute, label)], ..by_image(image.clone(), 20) };
        let hit = |answer: v1::SearchResponse| {
            let found = answer.results.iter().map(|r| &r.labels);
            f64::from(u8::from(found.into_iter().any(|f| is_target(labels, (attribute, label), f))))
        };
        total.queries += 1.0;
        total.manipulated += hit(search(client, edited).await);
        total.unmanipulated += hit(search(client, by_image(image.clone(), 20)).await);
        // 1 - C(n - t, 20) / C(n, 20)
        let n = gallery.len() as f64;
        let miss: f64 =
            (0..20).map(|i| (n - targets as f64 - f64::from(i)).max(0.0) / (n - f64::from(i))).product();
        total.chance += 1.0 - miss;
    }
    total
}

#[tokio::test]
async fn manipulated_rendered_garments_are_found() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let garments = ingest(&mut client, 21, 300).await;
    let gallery: Vec<_> =
        garments.into_iter().enumerate().map(|(i, g)| (format!("g{i}"), g.labels)).collect();
    let queries: Vec<_> =
        (0..72).map(|i| render(22, i)).map(|g: Rendered| (to_jpeg(&g.photo), g.truth)).collect();
    let total = top_20(&mut client, &queries, &gallery).await;
    total.print("rendered");
    total.check();
    server.finish().await;
}

#[tokio::test]
async fn manipulated_real_photos_are_found() {
    let Some(photos) = validation_photos() else { return };
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let load = |p: &LabelledPhoto| std::fs::read(&p.path).expect("a photo");
    // One photo in four is a query, every other one of the gallery: nobody finds themselves.
    let queries = photos.iter().step_by(4);
    let gallery: Vec<_> = photos.iter().skip(1).step_by(2).collect();
    let items = gallery.iter().map(|p| v1::UpsertItemsRequest {
        id: p.name.clone(),
        image: load(p),
        labels: p.labels.clone(),
        ..v1::UpsertItemsRequest::default()
    });
    let results = client.upsert(items.collect()).await.expect("stored");
    assert!(results.iter().all(|r| r.error.is_none()));
    let gallery: Vec<_> = gallery.into_iter().map(|p| (p.name.clone(), p.labels.clone())).collect();
    let queries: Vec<_> = queries.map(|p| (load(p), p.labels.clone())).collect();
    let total = top_20(&mut client, &queries, &gallery).await;
    total.print("real");
    total.check();
    server.finish().await;
}
