//! How long it takes to teach a head, until it serves, and what that costs the searches beside it.

use super::{FEATURES, Options, UPLOADED, ingest, retire, search, start};
use lapel_client::{Client, v1};
use lapel_tests::steady::{Searches, ask, print_beside};
use lapel_tests::{ChildServer, settled};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use v1::teach_response::Event;

/// The attribute whose stored labels are taught.
const ATTRIBUTE: &str = "color";
/// The head; there is none of this name or attribute.
const HEAD: &str = "taught";
/// Labels that are taught.
const LABELS: usize = 5;
/// Examples of each.
const EXAMPLES: u32 = 20;
/// What serves: the paper's backbone gives maps, on which no head can be taught.
const MODEL: &[&str] = &["--default-model"];

/// Teaches a head on the catalogue of a folder, several times with features at hand, and once without them.
pub(crate) async fn measure(folder: &Path, options: &Options) {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut server = start(folder, FEATURES, MODEL).await;
    fill(&mut server.client, folder, options).await;
    let examples = examples(&mut server.client).await;
    let (mut alone, mut beside) = (Searches::default(), Searches::default());
    for _ in 0..options.windows {
        alone.add(window(&server, options).await);
        beside.add(teach_beside(&server, &examples, options).await);
    }
    if options.windows > 0 {
        print_beside("teaching with features", &alone, &beside);
    }
    if !options.cold {
        return;
    }
    server.kill();
    std::fs::remove_dir_all(folder.join("data/features")).expect("removed");
    let server = start(folder, FEATURES, MODEL).await;
    let alone = window(&server, options).await;
    let beside = teach_beside(&server, &examples, options).await;
    print_beside("teaching without features", &alone, &beside);
}

/// Stores the items that are not there, and says what their features take. What was cut off goes on.
async fn fill(client: &mut Client, folder: &Path, options: &Options) {
    let there = client.stats().await.expect("told").items;
    if there < options.items {
        // Of the last upload some may be there that do not come next.
        ingest(client, options, (there / UPLOADED).saturating_sub(1) * UPLOADED).await;
    }
    let items = client.stats().await.expect("told").items;
    assert_eq!(items, options.items, "the folder has another catalogue");
    let files = std::fs::read_dir(folder.join("data/features")).expect("a feature cache");
    let bytes: u64 = files.map(|file| file.expect("a file").metadata().expect("its length").len()).sum();
    println!("{items} items; their features take {} bytes each", bytes / items.max(1));
}

/// Items with the labels that most of them carry.
async fn examples(client: &mut Client) -> Vec<v1::TaughtExample> {
    let mut told = client.stats().await.expect("told");
    let counts = told.labels.remove(ATTRIBUTE).expect("items are labelled").counts;
    let mut labels: Vec<(String, u64)> = counts.into_iter().collect();
    labels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut examples = Vec::new();
    for (label, _) in labels.into_iter().take(LABELS) {
        let filter = v1::LabelFilter {
            attribute: ATTRIBUTE.into(),
            labels: vec![label.clone()],
            allow_unknown: true,
            ..Default::default()
        };
        let request =
            v1::ListItemsRequest { page_size: EXAMPLES, filters: vec![filter], ..Default::default() };
        let items = client.catalog.list_items(request).await.expect("listed").into_inner().items;
        assert_eq!(items.len(), EXAMPLES as usize, "{label}");
        let example = |item: v1::Item| v1::TaughtExample {
            label: label.clone(),
            of: Some(v1::taught_example::Of::ItemId(item.id)),
        };
        examples.extend(items.into_iter().map(example));
    }
    examples
}

/// Searches with nothing beside them.
async fn window(server: &ChildServer, options: &Options) -> Searches {
    let request = |number| search(number, options.items);
    let over = tokio::time::sleep(Duration::from_secs(options.seconds));
    ask(&server.address, options.rate, request, over).await
}

/// Searches beside a teaching, until the head serves; then it is retired.
async fn teach_beside(server: &ChildServer, examples: &[v1::TaughtExample], options: &Options) -> Searches {
    let mut client = server.client.clone();
    let (end, ended) = oneshot::channel::<()>();
    let over = async move {
        let _ = ended.await;
    };
    let request = |number| search(number, options.items);
    let asking = ask(&server.address, options.rate, request, over);
    let teaching = async {
        teach(&mut client, examples).await;
        let _ = end.send(());
    };
    let (searches, ()) = tokio::join!(asking, teaching);
    retire(&mut client, HEAD).await;
    searches
}

/// Teaches the head, and says how long each step took until it served.
async fn teach(client: &mut Client, examples: &[v1::TaughtExample]) {
    let source = v1::teach_request::Source::Examples(v1::TaughtExamples { examples: examples.to_vec() });
    // Whatever it is worth: it is to serve.
    let request =
        v1::TeachRequest { name: HEAD.into(), source: Some(source), insist: true, ..Default::default() };
    let start = Instant::now();
    let now = || start.elapsed().as_secs_f64();
    let mut stream = client.heads.teach(request).await.expect("begins").into_inner();
    let (mut fitting, mut registering, mut taught) = (None, None, None);
    while let Some(message) = stream.message().await.expect("goes on") {
        match message.event.expect("told") {
            Event::Progress(progress) if progress.step() == v1::TeachStep::Fitting => {
                fitting.get_or_insert_with(now);
            }
            Event::Progress(progress) if progress.step() == v1::TeachStep::Registering => {
                registering.get_or_insert_with(now);
            }
            Event::Progress(_) => {}
            Event::Taught(outcome) => taught = Some((now(), outcome)),
        }
    }
    let (registered, outcome) = taught.expect("a head was taught");
    let head = settled(client, HEAD).await;
    let active = now();
    assert_eq!(head.state(), v1::HeadState::Active, "{head:?}");
    // A step that was over before it could be told took no time.
    let registering = registering.unwrap_or(registered);
    let fitting = fitting.unwrap_or(registering);
    let backfill = head.backfill.unwrap_or_default();
    let accuracy = outcome.worth.and_then(|worth| worth.accuracy).map_or(0.0, |share| share.value);
    println!(
        "ACTIVE after {active:.2} s: {fitting:.2} to look at {} examples, {:.2} to fit them (accuracy {accuracy:.2}), {:.2} to \
         register the head, {:.2} for the backfill of {} items, {} of them from the feature cache",
        examples.len(),
        registering - fitting,
        registered - registering,
        active - registered,
        backfill.items_done,
        backfill.items_from_cache,
    );
}
