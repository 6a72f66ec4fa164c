//! A head is taught on a running server: from labels, fields, ids and photos; what is told of it, and what happens meanwhile.

use lapel_client::{Client, v1};
use lapel_heads::shipped_folder;
use lapel_server::ByteSize;
use lapel_tests::{TestServer, by_default, by_item, settled};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use v1::HeadState::{Active, Standby};
use v1::taught_example::Of;
use v1::teach_request::Source;
use v1::teach_response::Event;

/// Garments that a few photos tell apart.
pub(crate) const KINDS: [&str; 3] = ["dress", "shorts", "trouser"];

/// The model that serves by default with one head, and a feature cache.
pub(crate) async fn start() -> TestServer {
    TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
        config.features.budget_bytes = ByteSize(64 << 20);
    })
    .await
}

/// Photos of a kind of garment that come with the project, by their names.
pub(crate) fn photos(kind: &str, count: usize) -> Vec<(String, Vec<u8>)> {
    let folder = shipped_folder().join("../../examples/wardrobe");
    let mut all = lapel_wardrobe::read(&folder).expect("the photos of the demo");
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let of_kind =
        all.into_iter().filter(|photo| photo.labels.get("category").is_some_and(|label| label == kind));
    let read =
        |photo: lapel_wardrobe::LabelledPhoto| (photo.id, std::fs::read(&photo.path).expect("a photo"));
    let found: Vec<_> = of_kind.take(count).map(read).collect();
    assert_eq!(found.len(), count, "{kind}");
    found
}

/// An item that carries its kind as a label, where there is one, and as a keyword.
pub(crate) fn garment(id: &str, image: Vec<u8>, kind: Option<&str>) -> v1::UpsertItemsRequest {
    let labels = kind.map(|kind| ("kind".to_owned(), kind.to_owned())).into_iter().collect();
    let keyword = |kind: &str| v1::FieldValue { kind: Some(v1::field_value::Kind::Keyword(kind.into())) };
    let fields: BTreeMap<_, _> = kind.map(|kind| ("rail".to_owned(), keyword(kind))).into_iter().collect();
    v1::UpsertItemsRequest { id: id.into(), image, labels, fields, ..Default::default() }
}

pub(crate) async fn put(client: &mut Client, items: Vec<v1::UpsertItemsRequest>) {
    let results = client.upsert(items).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
}

/// Stores so many of each kind, with their labels.
pub(crate) async fn store(client: &mut Client, count: usize) {
    for kind in KINDS {
        let items = photos(kind, count).into_iter().map(|(id, image)| garment(&id, image, Some(kind)));
        put(client, items.collect()).await;
    }
}

pub(crate) fn from_labels(name: &str) -> v1::TeachRequest {
    let source = Some(Source::LabelAttribute("kind".into()));
    v1::TeachRequest { name: name.into(), source, ..Default::default() }
}

pub(crate) fn shown(label: &str, of: Of) -> v1::TaughtExample {
    v1::TaughtExample { label: label.into(), of: Some(of) }
}

pub(crate) fn by_id(label: &str, id: &str) -> v1::TaughtExample {
    shown(label, Of::ItemId(id.into()))
}

pub(crate) fn from_examples(name: &str, examples: Vec<v1::TaughtExample>) -> v1::TeachRequest {
    let source = Some(Source::Examples(v1::TaughtExamples { examples }));
    v1::TeachRequest { name: name.into(), source, ..Default::default() }
}

/// Teaches to the end: the steps that were told, in order, and what came of it.
pub(crate) async fn teach(
    client: &mut Client,
    request: v1::TeachRequest,
) -> Result<(Vec<v1::TeachProgress>, v1::TaughtHead), Status> {
    let mut stream = client.heads.teach(request).await?.into_inner();
    let (mut told, mut taught) = (Vec::new(), None);
    while let Some(message) = stream.message().await? {
        assert!(taught.is_none(), "the result is last");
        match message.event.expect("one is set") {
            Event::Progress(progress) => told.push(progress),
            Event::Taught(head) => taught = Some(head),
        }
    }
    Ok((told, taught.expect("a result")))
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

pub(crate) async fn versions(client: &mut Client, name: &str) -> Vec<(u32, v1::HeadState)> {
    let request = v1::ListHeadsRequest { page_size: 1000, ..Default::default() };
    let heads = client.heads.list_heads(request).await.expect("listed").into_inner().heads;
    heads.iter().filter(|head| head.name == name).map(|head| (head.version, head.state())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_fields_ids_and_photos_teach_a_head_that_serves() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 10).await;
    let (told, taught) = teach(&mut client, from_labels("kind")).await.expect("taught");
    let steps: Vec<v1::TeachStep> = told.iter().map(v1::TeachProgress::step).collect();
    assert!(steps.is_sorted_by_key(|step| *step as i32), "{steps:?}");
    assert!(steps.contains(&v1::TeachStep::Looking) && steps.contains(&v1::TeachStep::Fitting), "{steps:?}");
    let last = told.last().expect("progress");
    assert_eq!((last.examples_done, last.examples_total), (30, 30));
    let worth = taught.worth.expect("examined");
    let accuracy = worth.accuracy.as_ref().expect("told");
    assert!(accuracy.low < accuracy.value && accuracy.value < accuracy.high + 1e-9, "{accuracy:?}");
    assert!(worth.has_signal && accuracy.value > 0.7, "{accuracy:?}");
    assert_eq!((worth.examples, taught.left_out.len()), (30, 0));
    let labels: Vec<&str> = worth.labels.iter().map(|label| label.label.as_str()).collect();
    assert_eq!(labels, KINDS);
    assert!(worth.labels.iter().all(|label| label.examples == 10 && label.told.values().sum::<u64>() == 10));
    assert_eq!(taught.held_because, "");
    assert_eq!(taught.head.expect("registered").name, "kind");
    assert_eq!(settled(&mut client, "kind").await.state(), Active);
    let answer =
        client.search.search(by_item(&photos("dress", 1)[0].0, 5)).await.expect("answers").into_inner();
    assert!(answer.weights.contains_key("kind"), "{:?}", answer.weights);
    // The same examples by other ways, with what was computed before, tell the same.
    let field = v1::TeachRequest { source: Some(Source::Field("rail".into())), ..from_labels("rail") };
    let named =
        KINDS.iter().flat_map(|kind| photos(kind, 10).into_iter().map(move |(id, _)| by_id(kind, &id)));
    let photographed = KINDS
        .iter()
        .flat_map(|kind| photos(kind, 10).into_iter().map(move |(_, image)| shown(kind, Of::Image(image))));
    let requests =
        [field, from_examples("rail", named.collect()), from_examples("rail", photographed.collect())];
    for request in requests {
        let (told, taught) =
            teach(&mut client, v1::TeachRequest { dry_run: true, ..request }).await.expect("taught");
        assert!(taught.head.is_none(), "nothing is registered");
        let again = taught.worth.expect("examined");
        assert_eq!(again.accuracy, worth.accuracy);
        assert_eq!(told.last().expect("progress").examples_from_cache, 30);
    }
    assert_eq!(versions(&mut client, "rail").await, []);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_tells_nothing_is_held_unless_the_caller_insists() {
    let server = start().await;
    let mut client = server.client().await;
    // Labels that have nothing to do with what is seen.
    let sides = ["left", "right"];
    let items = photos("t-shirt", 24).into_iter().enumerate();
    let items = items.map(|(at, (id, image))| garment(&id, image, Some(sides[at % 2])));
    put(&mut client, items.collect()).await;
    let (_, taught) = teach(&mut client, from_labels("side")).await.expect("taught");
    assert!(!taught.worth.expect("examined").has_signal);
    assert!(taught.held_because.contains("do not show"), "{}", taught.held_because);
    assert_eq!(settled(&mut client, "side").await.state(), Standby);
    let retire = v1::RetireHeadRequest { name: "side".into(), ..Default::default() };
    client.heads.retire_head(retire).await.expect("retired");
    let insisting = v1::TeachRequest { insist: true, ..from_labels("side") };
    let (_, taught) = teach(&mut client, insisting).await.expect("taught");
    assert_eq!(taught.held_because, "");
    assert_eq!(settled(&mut client, "side").await.state(), Active);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_head_is_taught_at_a_time_and_a_caller_that_leaves_ends_it() {
    let server = start().await;
    let mut client = server.client().await;
    store(&mut client, 12).await;
    // Nothing is in the cache of pictures that are not stored.
    let unseen = |count: usize| {
        let of_kind = |kind: &'static str| {
            photos(kind, 16)
                .split_off(16 - count)
                .into_iter()
                .map(move |(_, image)| shown(kind, Of::Image(image)))
        };
        from_examples("kind", ["dress", "shorts"].into_iter().flat_map(of_kind).collect())
    };
    let stream = client.heads.teach(unseen(4)).await.expect("begun");
    let busy = teach(&mut client, from_labels("other")).await.expect_err("one at a time");
    assert_eq!(busy.code(), Code::ResourceExhausted, "{busy:?}");
    assert!(busy.get_error_details().retry_info().is_some(), "{busy:?}");
    drop(stream);
    // Left while it is fitted, too.
    let mut stream = begun(&mut client, from_labels("kind")).await;
    while let Some(message) = stream.message().await.expect("goes on") {
        if matches!(message.event, Some(Event::Progress(now)) if now.step() == v1::TeachStep::Fitting) {
            break;
        }
    }
    drop(stream);
    // Its place is free soon, and nothing is left of it.
    drop(begun(&mut client, from_labels("other")).await);
    assert_eq!(versions(&mut client, "kind").await, []);
    server.finish().await;
}

/// Begins to teach once what was taught before has ended.
async fn begun(client: &mut Client, request: v1::TeachRequest) -> Streaming<v1::TeachResponse> {
    loop {
        match client.heads.teach(request.clone()).await {
            Ok(stream) => return stream.into_inner(),
            Err(status) if status.code() == Code::ResourceExhausted => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(status) => panic!("{status:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_vanish_meanwhile_are_left_out() {
    // Without a cache, so that there is time for it.
    let server = TestServer::start_with(|config| {
        by_default(config);
        config.model.heads.truncate(1);
        config.features.budget_bytes = ByteSize(0);
    })
    .await;
    let mut client = server.client().await;
    store(&mut client, 14).await;
    let mut stream = client.heads.teach(from_labels("kind")).await.expect("begun").into_inner();
    // The last to be looked at, while the first are.
    let ids = photos("trouser", 14).split_off(4).into_iter().map(|(id, _)| id).collect();
    client.catalog.delete_items(v1::DeleteItemsRequest { ids, ..Default::default() }).await.expect("deleted");
    let mut taught = None;
    while let Some(message) = stream.message().await.expect("goes on") {
        if let Some(Event::Taught(head)) = message.event {
            taught = Some(head);
        }
    }
    let taught: v1::TaughtHead = taught.expect("a result");
    let left_out: u64 = taught.left_out.values().sum();
    assert!(left_out > 0 && taught.left_out.keys().all(|reason| reason == "gone"), "{:?}", taught.left_out);
    assert_eq!(taught.worth.expect("examined").examples + left_out, 42);
    let head = settled(&mut client, "kind").await;
    assert!(matches!(head.state(), Active | Standby), "{head:?}");
    // All of them, but for the first few.
    let request = v1::TeachRequest { update: true, ..from_labels("kind") };
    let ids = KINDS.iter().flat_map(|kind| photos(kind, 14)).map(|(id, _)| id).collect();
    let mut stream = client.heads.teach(request).await.expect("begun").into_inner();
    client.catalog.delete_items(v1::DeleteItemsRequest { ids, ..Default::default() }).await.expect("deleted");
    let refused = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some_and(|of| matches!(of.event, Some(Event::Progress(_))))),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TOO_FEW_EXAMPLES"));
    assert!(refused.message().contains(" gone"), "{}", refused.message());
    server.finish().await;
}
