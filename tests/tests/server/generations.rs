//! Another backbone with its heads: built beside, switched in one step, rolled back, dropped.

use data_encoding::HEXLOWER;
use lapel_client::{Client, Upload, v1};
use lapel_heads::{
    ALEXNET_FILE, AlexNet, Backbone, Bundle, EXTRACT_PARTS_FILE, alexnet_folder, new_bundle_keys, sign_bundle,
};
use lapel_render::render;
use lapel_server::Server;
use lapel_tests::{
    TestServer, by_image, by_item, config_in, external_bundle, ingest, item, sport_bundle, watched,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt;

/// The shipped backbone with one number changed, and the heads as if they had been trained on it.
fn other_generation(heads: &[&str]) -> (String, Vec<Upload>) {
    let read = |file: &str| std::fs::read(alexnet_folder().join(file)).expect("shipped");
    let mut backbone = read(ALEXNET_FILE);
    // A bit of the last weight in the file: another backbone, nearly the same numbers.
    let last = backbone.len() - 2;
    backbone[last] ^= 1;
    let fingerprint = AlexNet::from_bytes(&backbone).expect("sound").fingerprint().to_owned();
    let adapted = |bytes: Vec<u8>| {
        let mut bundle = Bundle::parse(&bytes).expect("sound");
        bundle.manifest.backbone = Some(fingerprint.clone());
        bundle.to_bytes().expect("written")
    };
    let mut files = vec![
        Upload::unsigned(v1::GenerationFile::Backbone, backbone),
        Upload::unsigned(v1::GenerationFile::ExtractParts, adapted(read(EXTRACT_PARTS_FILE))),
    ];
    for head in heads {
        let bundle = adapted(read(&format!("{head}.safetensors")));
        files.push(Upload::unsigned(v1::GenerationFile::Head, bundle));
    }
    (fingerprint, files)
}

/// Asks by item and by picture; each answer is of one generation, and generations have their own heads.
async fn ask(mut client: Client, stop: Arc<AtomicBool>) -> HashSet<(u64, usize)> {
    let (mut seen, mut at) = (HashSet::new(), 0u64);
    let picture = item("", &render(71, 1)).image;
    while !stop.load(Ordering::Relaxed) {
        at += 1;
        let request = if at.is_multiple_of(8) { by_image(picture.clone(), 5) } else { by_item("g1", 5) };
        let request = v1::SearchRequest { explain: true, ..request };
        let answer = client.search.search(request).await.expect("no query fails").into_inner();
        let heads = answer.weights.len();
        assert!(
            answer.results.iter().all(|r| r.explanation.as_ref().is_some_and(|e| e.terms.len() == heads))
        );
        seen.insert((answer.generation, heads));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    seen
}

async fn listed(client: &mut Client) -> Vec<(v1::HeadState, usize)> {
    let answer = client.generations.list_generations(v1::ListGenerationsRequest {}).await.expect("listed");
    let state = |g: &v1::Generation| (g.state(), g.heads.iter().filter(|h| h.state() == g.state()).count());
    answer.into_inner().generations.iter().map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_is_built_switched_rolled_back_and_dropped() {
    use v1::HeadState::{Active, Retired, Standby};
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 60).await;
    client.register_bundle(&external_bundle("mood", 3, &["calm"])).await.expect("registered");
    let before = client.search.search(by_item("g1", 5)).await.expect("answers").into_inner();
    // The items have no signature of the external head, so it takes no part in a search like them.
    assert_eq!((before.generation, before.weights.len()), (8, 7));
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(server.client().await, stop.clone()));
    let (fingerprint, files) = other_generation(&["color", "pattern", "general"]);
    let built = client.build_generation(&files, true).await.expect("accepted");
    assert_eq!((built.backbone.as_str(), built.state()), (fingerprint.as_str(), v1::HeadState::Backfilling));
    let again = client.build_generation(&files, true).await.expect("the same files");
    assert_eq!(again.backbone, fingerprint);
    let early = v1::SwitchGenerationRequest::default();
    let early = client.generations.switch_generation(early).await.expect_err("it is not built");
    assert_eq!(early.get_error_details().error_info().expect("a reason").reason, "NOT_ON_STANDBY");
    // Items written meanwhile get the signatures of both.
    let late = client.upsert((0..20).map(|i| item(&format!("late{i}"), &render(72, i))).collect()).await;
    assert!(late.expect("stored").iter().all(|r| r.error.is_none()));
    let standby = watched(&mut client).await;
    assert_eq!(standby.state(), Standby, "{standby:?}");
    assert!(standby.heads.iter().all(|h| h.state() == Standby && h.version == 2));
    let switched = client.generations.switch_generation(v1::SwitchGenerationRequest::default()).await;
    assert_eq!(switched.expect("switched").into_inner().number, 9);
    let after = client.search.search(by_item("g1", 80)).await.expect("answers").into_inner();
    assert_eq!((after.generation, after.weights.len()), (9, 3), "heads of its own");
    let stats =
        client.catalog.catalog_stats(v1::CatalogStatsRequest::default()).await.expect("counted").into_inner();
    assert!(stats.heads.iter().all(|h| h.head == "mood" || h.missing == 0), "{:?}", stats.heads);
    assert_eq!(listed(&mut client).await, [(Active, 3), (Standby, 7)]);
    // Heads for the new backbone are accepted now, for the old one not.
    let old = client.register_bundle(&sport_bundle()).await.expect_err("trained on the other");
    assert_eq!(old.code(), Code::FailedPrecondition);
    ingest(&mut client, 73, 10).await;
    server.restart().await;
    stop.store(true, Ordering::Relaxed);
    drop(asking.await);
    let mut client = server.client().await;
    assert_eq!(listed(&mut client).await, [(Active, 3), (Standby, 7)], "after a restart");
    let back = v1::SwitchGenerationRequest::default();
    client.generations.switch_generation(back).await.expect("rolled back");
    let rolled = client.search.search(by_item("late1", 5)).await.expect("answers").into_inner();
    assert_eq!((rolled.generation, rolled.weights.len()), (10, 7));
    assert_eq!(rolled.plan.expect("told").missing, 0);
    let drop = v1::DropGenerationRequest { backbone: fingerprint.clone(), ..Default::default() };
    let dropped = client.generations.drop_generation(drop.clone()).await.expect("dropped").into_inner();
    assert_eq!(dropped.generation.expect("told").state(), Retired);
    client.generations.drop_generation(drop).await.expect("again is no error");
    let serving = listed(&mut client).await;
    assert_eq!(serving[0], (Active, 7));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_fails_or_mixes_while_generations_change() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 30).await;
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(server.client().await, stop.clone()));
    let (_, files) = other_generation(&["color", "pattern"]);
    client.build_generation(&files, false).await.expect("accepted");
    let serving = watched(&mut client).await;
    assert_eq!(serving.state(), v1::HeadState::Active, "it promotes itself");
    for _ in 0..6 {
        client.generations.switch_generation(v1::SwitchGenerationRequest::default()).await.expect("switched");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let seen = asking.await.expect("no query failed");
    println!("generations and heads seen: {seen:?}");
    for (generation, count) in &seen {
        // The seventh is that of the shipped heads; from then on each switch changes sides.
        let wanted = if generation % 2 == 1 { 7 } else { 2 };
        assert_eq!(*count, wanted, "generation {generation} has its own heads");
    }
    assert!(seen.len() > 2, "{seen:?}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_a_generation_that_is_being_built_is_not_retired_alone() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    ingest(&mut client, 31, 60).await;
    client.build_generation(&other_generation(&["color", "pattern"]).1, true).await.expect("accepted");
    let retire = v1::RetireHeadRequest { name: "color".into(), version: 2, ..Default::default() };
    let refused = client.heads.retire_head(retire).await.expect_err("part of a build");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(refused.get_error_details().error_info().expect("a reason").reason, "PART_OF_A_BUILD");
    assert_eq!(watched(&mut client).await.state(), v1::HeadState::Standby);
    assert_eq!(listed(&mut client).await, [(v1::HeadState::Active, 7), (v1::HeadState::Standby, 2)]);
    server.finish().await;
}

#[tokio::test]
async fn a_configured_file_that_is_no_backbone_is_refused_although_the_catalogue_has_its_own() {
    let mut server = TestServer::start_with(|config| config.model.heads.clear()).await;
    server.stop().await;
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config_in(folder.path());
    config.model.heads.clear();
    config.data = server.data().to_owned();
    config.model.backbone = folder.path().join("sport.safetensors");
    std::fs::write(&config.model.backbone, sport_bundle()).expect("written");
    let refused = Server::start(config.clone()).await.err().expect("a head is no backbone").to_string();
    assert!(refused.contains("sport.safetensors") && refused.contains("backbone"), "{refused}");
    // A restored catalogue needs none.
    config.model.backbone = folder.path().join("gone.safetensors");
    let started = Server::start(config).await.expect("the catalogue has its own");
    started.serve(async {}).await.expect("serves to its end");
    server.finish().await;
}

#[tokio::test]
async fn unsound_generations_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (_, files) = other_generation(&["color"]);
    let without =
        |file: v1::GenerationFile| -> Vec<_> { files.iter().filter(|f| f.file != file).cloned().collect() };
    let mut broken = files.clone();
    broken[0].bytes.truncate(1000);
    let mut foreign = files.clone();
    foreign[2].bytes = sport_bundle();
    let twice = [files.clone(), vec![files[2].clone()]].concat();
    let cases = [
        ("no backbone", without(v1::GenerationFile::Backbone), Code::InvalidArgument),
        ("no part head", without(v1::GenerationFile::ExtractParts), Code::InvalidArgument),
        ("no heads", without(v1::GenerationFile::Head), Code::InvalidArgument),
        ("a broken backbone", broken, Code::InvalidArgument),
        ("a head of another backbone", foreign, Code::FailedPrecondition),
        ("a head twice", twice, Code::InvalidArgument),
        ("two backbones", [files.clone(), vec![files[0].clone()]].concat(), Code::InvalidArgument),
        ("nothing", Vec::new(), Code::InvalidArgument),
    ];
    for (case, files, code) in cases {
        let refused = client.build_generation(&files, false).await.expect_err(case);
        assert_eq!(refused.code(), code, "{case}: {}", refused.message());
    }
    assert_eq!(listed(&mut client).await, [(v1::HeadState::Active, 7)]);
    server.finish().await;
}

/// The bytes of a signature's hexadecimal digits.
fn signature(secret: &str, file: &[u8]) -> Vec<u8> {
    HEXLOWER.decode(sign_bundle(secret, file).expect("signed").as_bytes()).expect("digits")
}

#[tokio::test]
async fn a_server_with_a_key_takes_what_its_owner_signed() {
    let folder = tempfile::tempdir().expect("folder");
    let (secret, public) = new_bundle_keys().expect("made");
    let (stranger, _) = new_bundle_keys().expect("made");
    let path = folder.path().join("bundles.public");
    std::fs::write(&path, public).expect("written");
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.access.bundle_key = Some(path.clone());
    })
    .await;
    let mut client = server.client().await;
    let sport = sport_bundle();
    for (case, sent, reason) in [
        ("none", Vec::new(), "BUNDLE_UNSIGNED"),
        ("a stranger's", signature(&stranger, &sport), "BUNDLE_SIGNATURE"),
        ("of another file", signature(&secret, b"another"), "BUNDLE_SIGNATURE"),
    ] {
        let header = v1::RegisterHeadHeader { signature: sent, ..Default::default() };
        let refused = client.register_bundle_as(&sport, header).await.expect_err(case);
        assert_eq!(refused.code(), Code::FailedPrecondition, "{case}");
        assert_eq!(refused.get_error_details().error_info().expect("a reason").reason, reason, "{case}");
    }
    let header = v1::RegisterHeadHeader { signature: signature(&secret, &sport), ..Default::default() };
    client.register_bundle_as(&sport, header).await.expect("signed");
    let (_, mut files) = other_generation(&["color"]);
    client.build_generation(&files, true).await.expect_err("unsigned");
    for file in &mut files {
        file.signature = signature(&secret, &file.bytes);
    }
    client.build_generation(&files, true).await.expect("signed");
    server.finish().await;
}

#[tokio::test]
async fn a_switch_that_changed_nothing_is_not_carried_out_by_a_late_repetition() {
    use v1::HeadState::{Active, Standby};
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let all = client.generations.list_generations(v1::ListGenerationsRequest {}).await.expect("listed");
    let first = all.into_inner().generations[0].backbone.clone();
    client.build_generation(&other_generation(&["color"]).1, true).await.expect("accepted");
    assert_eq!(watched(&mut client).await.state(), Standby);
    let stay = v1::SwitchGenerationRequest { backbone: first.clone(), request_id: "stay".into() };
    client.generations.switch_generation(stay.clone()).await.expect("it serves already");
    let switched = client.generations.switch_generation(v1::SwitchGenerationRequest::default()).await;
    let switched = switched.expect("switched").into_inner();
    assert_eq!(switched.generation.as_ref().map(v1::Generation::state), Some(Active));
    let late = client.generations.switch_generation(stay).await.expect("answered").into_inner();
    assert_eq!(late.number, switched.number, "nothing was switched");
    let late = late.generation.expect("told");
    assert_eq!((late.backbone.as_str(), late.state()), (first.as_str(), Standby), "as it is now");
    server.finish().await;
}

#[tokio::test]
async fn a_build_of_other_files_of_the_same_backbone_is_refused() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let (_, files) = other_generation(&["color", "pattern"]);
    client.build_generation(&files, true).await.expect("accepted");
    assert_eq!(watched(&mut client).await.state(), v1::HeadState::Standby);
    let fewer = client.build_generation(&files[..3], true).await.expect_err("one head less");
    assert_eq!(fewer.code(), Code::AlreadyExists, "{}", fewer.message());
    assert!(fewer.message().contains("is there with other heads"), "{}", fewer.message());
    let mut parts = files.clone();
    let mut bundle = Bundle::parse(&parts[1].bytes).expect("sound");
    bundle.manifest.description = "another".into();
    parts[1].bytes = bundle.to_bytes().expect("written");
    let parts = client.build_generation(&parts, true).await.expect_err("another part head");
    assert_eq!(parts.code(), Code::AlreadyExists, "{}", parts.message());
    let serving = client.build_generation(&files, false).await.expect_err("it stands by");
    assert_eq!(serving.get_error_details().error_info().expect("a reason").reason, "OTHER_HOLD");
    client.build_generation(&files, true).await.expect("the same files");
    server.finish().await;
}

#[tokio::test]
async fn without_a_name_a_generation_that_waits_is_meant() {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    let mut client = server.client().await;
    let switch = client.generations.switch_generation(v1::SwitchGenerationRequest::default()).await;
    let watch = client.generations.watch_generation(v1::WatchGenerationRequest::default()).await;
    for refused in [switch.expect_err("none waits"), watch.expect_err("none waits")] {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert_eq!(refused.get_error_details().error_info().expect("a reason").reason, "NOT_ON_STANDBY");
        assert!(refused.message().contains("but the one that serves"), "{refused:?}");
    }
    let nobody = v1::WatchGenerationRequest { backbone: "nobody".into() };
    let refused = client.generations.watch_generation(nobody).await.expect_err("no such backbone");
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    server.finish().await;
}
