//! Writes the first files of the corpora that a hand cannot write: sound messages of every method, and bundles. ONNX
//! files are made with the onnx package, as `tests/python/graphs.py` does it.
//!
//! `cargo run --release -p lapel-fuzz --bin lapel-fuzz-seeds`

use lapel_client::{bundle_parts, v1};
use lapel_fuzz::{TinyBackbone, streamed};
use lapel_heads::{Attribute, Backbone, Bundle, HeadKind, Manifest, Region, Weights};
use lapel_tests::{by_image, by_item, external_bundle, set, weights};
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use v1::search_request::Weighting;

fn main() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder: PathBuf = corpora.join(target);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), bytes).expect("written");
    };
    write("bundle", "external", &external_bundle("style", 2, &["boho", "plain"]));
    write("bundle", "network", &network().to_bytes().expect("a bundle"));
    for (number, (method, body)) in messages().into_iter().enumerate() {
        let name = format!("{number:02}-{}", method.replace('/', "-"));
        write("requests", &name, &[method.as_bytes(), b"\n", &body].concat());
    }
}

/// A head that the tiny backbone serves.
fn network() -> Bundle {
    let attribute = Attribute { name: "color".into(), labels: vec!["red".into(), "blue".into()] };
    let weights = |shape: &[usize], data: &[f32]| Weights { shape: shape.to_vec(), data: data.to_vec() };
    let manifest = Manifest {
        kind: HeadKind::Network,
        backbone: Some(TinyBackbone.fingerprint().to_owned()),
        region: Region::Chest,
        hidden: 2,
        prototype_counts: BTreeMap::from([("color".into(), vec![3, 0])]),
        ..Manifest::external("color", 2, vec![attribute])
    };
    let tensors = [
        ("fc6.weight", weights(&[2, 2], &[1.0, 0.0, 0.0, 1.0])),
        ("fc6.bias", weights(&[2], &[0.0, 0.1])),
        ("fc7.weight", weights(&[2, 2], &[1.0, 0.0, 0.0, -1.0])),
        ("fc7.bias", weights(&[2], &[0.0, 0.0])),
        ("classifier.color.weight", weights(&[2, 2], &[1.0, 0.0, 0.0, -1.0])),
        ("classifier.color.bias", weights(&[2], &[0.0, 0.0])),
        ("prototypes.color", weights(&[2, 2], &[0.6, 0.8, 1.0, 0.0])),
    ];
    let tensors = tensors.into_iter().map(|(name, w)| (name.to_owned(), w)).collect();
    Bundle { manifest, tensors, graph: None }
}

type Named = (&'static str, Vec<u8>);

/// Every method at least once; names as they are in the server of the target.
fn messages() -> Vec<Named> {
    let services = [catalog(), feedback(), generations(), heads(), searches()];
    std::iter::once(("AdminService/Backup", Vec::new())).chain(services.into_iter().flatten()).collect()
}

fn one(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

fn signature() -> v1::Signature {
    v1::Signature { head: "style".into(), values: vec![0.6, 0.8] }
}

fn filter() -> v1::LabelFilter {
    v1::LabelFilter {
        attribute: "color".into(),
        labels: vec!["red".into(), "blue".into()],
        allow_unknown: false,
        exists: None,
    }
}

/// A tree of conditions: a price within a range, not a label, and a predicted one.
fn tree() -> v1::Filter {
    let node = |node| v1::Filter { node: Some(node) };
    let price = |number| v1::FieldValue { kind: Some(v1::field_value::Kind::Number(number)) };
    let range = v1::FieldRange {
        lower: Some(v1::field_range::Lower::From(price(1.0))),
        upper: Some(v1::field_range::Upper::Below(price(2.5))),
    };
    let field = v1::FieldFilter {
        field: "price".into(),
        condition: Some(v1::field_filter::Condition::Range(range)),
        allow_unknown: true,
    };
    let label = node(v1::filter::Node::Label(filter()));
    let none = node(v1::filter::Node::None(v1::FilterList { filters: vec![label] }));
    let field = node(v1::filter::Node::Field(field));
    let predicted = node(v1::filter::Node::Predicted(v1::PredictedFilter {
        attribute: "color".into(),
        labels: vec!["red".into()],
        probability_min: Some(0.8),
        allow_unknown: true,
    }));
    let ids = node(v1::filter::Node::Ids(v1::IdFilter { item_ids: vec!["g1".into()] }));
    node(v1::filter::Node::All(v1::FilterList { filters: vec![field, none, predicted, ids] }))
}

fn item(id: &str) -> v1::UpsertItemsRequest {
    v1::UpsertItemsRequest {
        id: id.into(),
        labels: BTreeMap::from([("color".into(), "red".into())]),
        signatures: vec![signature()],
        request_id: "r1".into(),
        ..v1::UpsertItemsRequest::default()
    }
}

/// An update of one field and one label of the item that is there.
fn update() -> v1::UpsertItemsRequest {
    let price = v1::FieldValue { kind: Some(v1::field_value::Kind::Number(2.0)) };
    let paths = vec!["fields.price".into(), "labels.color".into()];
    v1::UpsertItemsRequest {
        fields: BTreeMap::from([("price".into(), price)]),
        update_mask: Some(prost_types::FieldMask { paths }),
        signatures: Vec::new(),
        ..item("g0")
    }
}

fn facets() -> Vec<v1::FacetRequest> {
    let bound = |number| v1::FieldValue { kind: Some(v1::field_value::Kind::Number(number)) };
    let label = v1::FacetRequest {
        of: Some(v1::facet_request::Of::Attribute("color".into())),
        ..v1::FacetRequest::default()
    };
    let field = v1::FacetRequest {
        of: Some(v1::facet_request::Of::Field("price".into())),
        bounds: vec![bound(1.0), bound(2.0)],
        allow_unknown: true,
        ..v1::FacetRequest::default()
    };
    vec![label, field]
}

fn catalog() -> Vec<Named> {
    let image = b"\xff\xd8\xff\xd9".to_vec();
    let more_images = vec![image.clone(), Vec::new()];
    let picture = v1::UpsertItemsRequest { image, more_images, ..item("x") };
    let only = v1::UpsertItemsRequest { labels_only: true, signatures: Vec::new(), ..item("g0") };
    let kept = v1::UpsertItemsRequest { keep_others: true, ..item("g0") };
    let upload = v1::UpsertItemsStreamRequest { item: Some(item("x")) };
    let deleted = v1::DeleteItemsRequest { ids: vec!["x".into(), "y".into()], request_id: "r2".into() };
    let listed = v1::ListItemsRequest {
        page_size: 2,
        page_token: String::new(),
        filters: vec![filter()],
        filter: Some(tree()),
    };
    let exported =
        v1::ExportItemsRequest { after: "g0".into(), no_images: true, in_pieces: true, all_images: true };
    let stats = v1::CatalogStatsRequest { page_size: 1, page_token: "color\nred".into() };
    let counted = v1::CountItemsRequest { filter: Some(tree()), facets: facets() };
    let dropped = v1::DeleteItemsByFilterRequest {
        filter: Some(tree()),
        expected_items: Some(1),
        request_id: "rc".into(),
        ..v1::DeleteItemsByFilterRequest::default()
    };
    vec![
        ("CatalogService/UpsertItems", streamed(&[one(&item("x")), one(&only), one(&update())])),
        ("CatalogService/CountItems", one(&counted)),
        ("CatalogService/DeleteItemsByFilter", one(&dropped)),
        ("CatalogService/UpsertItems", streamed(&[one(&picture), one(&kept)])),
        ("CatalogService/UpsertItemsStream", streamed(&[one(&upload)])),
        ("CatalogService/GetItem", one(&v1::GetItemRequest { id: "g0".into() })),
        ("CatalogService/GetItemImage", one(&v1::GetItemImageRequest { id: "g0".into(), picture: 0 })),
        ("CatalogService/StreamItemImage", one(&v1::StreamItemImageRequest { id: "g0".into(), picture: 0 })),
        ("CatalogService/DeleteItems", one(&deleted)),
        ("CatalogService/ListItems", one(&listed)),
        ("CatalogService/ExportItems", one(&exported)),
        ("CatalogService/CatalogStats", one(&stats)),
        ("CatalogService/UpsertItem", one(&v1::UpsertItemRequest { item: Some(item("x")) })),
    ]
}

fn feedback() -> Vec<Named> {
    let picked = v1::PersonaliseRequest {
        picked_ids: vec!["g1".into(), "g2".into()],
        query: by_item("g0", 1).query,
        manipulations: vec![set("color", "red")],
        filters: vec![filter()],
        filter: Some(tree()),
        unwanted_ids: vec!["g3".into()],
        show_fields: vec!["price".into()],
        k: 2,
        explain: true,
        head_versions: [("color".to_owned(), 1)].into(),
        ..v1::PersonaliseRequest::default()
    };
    let saved = v1::SaveProfileRequest {
        name: "p".into(),
        weights: BTreeMap::from([("color".into(), 1.5), ("collar".into(), 0.5)]),
        picked_ids: vec!["g1".into()],
        request_id: "r3".into(),
    };
    let listed = v1::ListProfilesRequest { page_size: 1, page_token: "p".into(), ..Default::default() };
    let undone = v1::UndoProfileRequest { name: "p".into(), version: 1, request_id: "r4".into() };
    let deleted = v1::DeleteProfileRequest { name: "p".into(), request_id: "r5".into() };
    vec![
        ("FeedbackService/Personalise", one(&picked)),
        ("FeedbackService/SaveProfile", one(&saved)),
        ("FeedbackService/GetProfile", one(&v1::GetProfileRequest { name: "p".into() })),
        ("FeedbackService/ListProfiles", one(&listed)),
        ("FeedbackService/UndoProfile", one(&undone)),
        ("FeedbackService/DeleteProfile", one(&deleted)),
    ]
}

fn generations() -> Vec<Named> {
    let header = v1::GenerationFileHeader {
        file: v1::GenerationFile::Backbone.into(),
        size_bytes: 4,
        sha256: "0".repeat(64),
        ..v1::GenerationFileHeader::default()
    };
    let parts = [
        v1::build_generation_request::Part::Header(header),
        v1::build_generation_request::Part::Chunk(b"none".to_vec()),
    ];
    let streamed_parts = parts.map(|part| one(&v1::BuildGenerationRequest { part: Some(part) }));
    let file = v1::GenerationFileContent {
        file: v1::GenerationFile::Backbone.into(),
        content: b"none".to_vec(),
        ..v1::GenerationFileContent::default()
    };
    let whole =
        v1::BuildGenerationFromFilesRequest { files: vec![file], hold: true, request_id: "ra".into() };
    let switched = v1::SwitchGenerationRequest { backbone: "b".into(), request_id: "r6".into() };
    let dropped = v1::DropGenerationRequest { backbone: "b".into(), request_id: "r7".into() };
    vec![
        ("GenerationService/BuildGeneration", streamed(&streamed_parts)),
        ("GenerationService/BuildGenerationFromFiles", one(&whole)),
        ("GenerationService/WatchGeneration", one(&v1::WatchGenerationRequest { backbone: "b".into() })),
        ("GenerationService/ListGenerations", Vec::new()),
        ("GenerationService/SwitchGeneration", one(&switched)),
        ("GenerationService/DropGeneration", one(&dropped)),
    ]
}

fn heads() -> Vec<Named> {
    let bundle = external_bundle("style", 2, &["boho"]);
    let parts: Vec<Vec<u8>> = bundle_parts(&bundle).iter().map(one).collect();
    let whole = v1::RegisterHeadFromBundleRequest {
        bundle,
        request_id: "rb".into(),
        ..v1::RegisterHeadFromBundleRequest::default()
    };
    let name = || "style".to_owned();
    let promoted =
        v1::PromoteHeadRequest { name: name(), version: 1, request_id: "r8".into(), allow_missing: true };
    let rolled_back = v1::RollbackHeadRequest { name: name(), request_id: "r9".into() };
    let cancelled = v1::CancelHeadRequest { name: name(), request_id: "r".into() };
    let retired = v1::RetireHeadRequest { name: name(), version: 1, request_id: "q".into() };
    let listed = v1::ListHeadsRequest { page_size: 2, state: 5, ..v1::ListHeadsRequest::default() };
    let labels = v1::ListLabelsRequest { attribute: "color".into(), page_size: 1, page_token: String::new() };
    let shown = |label: &str, of| v1::TaughtExample { label: label.into(), of: Some(of) };
    let examples = vec![
        shown("boho", v1::taught_example::Of::ItemId("g0".into())),
        shown("plain", v1::taught_example::Of::Image(vec![7; 8])),
    ];
    let taught = v1::TeachRequest {
        name: "mood".into(),
        source: Some(v1::teach_request::Source::Examples(v1::TaughtExamples { examples })),
        labels: vec!["boho".into(), "plain".into()],
        dry_run: true,
        ..v1::TeachRequest::default()
    };
    let suggested = v1::SuggestExamplesRequest {
        name: "color".into(),
        version: 1,
        filter: Some(tree()),
        count: 3,
        exclude_ids: vec!["g1".into()],
    };
    let compared =
        v1::CompareHeadsRequest { name: name(), version: 1, other_version: 1, filter: Some(tree()) };
    vec![
        ("HeadService/Teach", one(&taught)),
        ("HeadService/SuggestExamples", one(&suggested)),
        ("HeadService/CompareHeads", one(&compared)),
        ("HeadService/DownloadHead", one(&v1::DownloadHeadRequest { name: name(), version: 1 })),
        ("HeadService/RegisterHead", streamed(&parts)),
        ("HeadService/RegisterHeadFromBundle", one(&whole)),
        ("HeadService/PromoteHead", one(&promoted)),
        ("HeadService/RollbackHead", one(&rolled_back)),
        ("HeadService/CancelHead", one(&cancelled)),
        ("HeadService/WatchHead", one(&v1::WatchHeadRequest { name: name(), version: 1 })),
        ("HeadService/ListHeads", one(&listed)),
        ("HeadService/GetHead", one(&v1::GetHeadRequest { name: "color".into(), version: 1 })),
        ("HeadService/RetireHead", one(&retired)),
        ("HeadService/ListLabels", one(&labels)),
    ]
}

fn searches() -> Vec<Named> {
    let rich = v1::SearchRequest {
        manipulations: vec![set("color", "red")],
        weighting: weights(&[("color", 2.0), ("collar", 1.0)], true),
        filters: vec![filter()],
        exclude_ids: vec!["g1".into()],
        explain: true,
        exact: true,
        distance_max: Some(2.5),
        filter: Some(tree()),
        facets: facets(),
        result_facets: facets(),
        show_fields: vec!["price".into()],
        pictures: v1::PictureMode::Mean.into(),
        head_versions: [("color".to_owned(), 1)].into(),
        ..by_item("g0", 3)
    };
    let grouped = v1::SearchRequest {
        group_by: Some(v1::Grouping { field: "price".into(), results_max: 2 }),
        offset: 1,
        ..by_item("g0", 2)
    };
    let diverse =
        v1::SearchRequest { diversity: Some(v1::Diversity { relevance: 0.5, pool: 5 }), ..by_item("g0", 2) };
    let paged = v1::SearchRequest { paged: true, page_token: vec![1, 2, 3, 4, 5, 6], ..by_item("g0", 2) };
    let suggested = v1::SuggestRequest {
        query: by_item("g0", 1).query,
        manipulations: vec![set("color", "red")],
        filter: Some(tree()),
        keep: vec!["collar".into()],
        suggestions_max: 5,
        head_versions: [("color".to_owned(), 1)].into(),
    };
    let signatures = v1::SignatureSet { signatures: vec![signature()] };
    let by_signature = v1::SearchRequest {
        query: Some(v1::Query {
            source: Some(v1::query::Source::Signatures(signatures)),
            also_signatures: Vec::new(),
        }),
        weighting: Some(Weighting::Profile("p".into())),
        plan: v1::PlanKind::Hnsw.into(),
        ..by_item("", 2)
    };
    let source = Some(v1::query::Source::ItemId("g0".into()));
    let beside = v1::SearchRequest {
        query: Some(v1::Query { source, also_signatures: vec![signature()] }),
        ..by_item("", 2)
    };
    let described = v1::DescribeRequest {
        source: Some(v1::describe_request::Source::ItemId("g0".into())),
        include_signatures: true,
        labels_max: 2,
        picture: Some(1),
        head_versions: [("style".to_owned(), 1)].into(),
    };
    vec![
        ("SearchService/Describe", one(&described)),
        ("SearchService/Search", one(&rich)),
        ("SearchService/Search", one(&by_signature)),
        ("SearchService/Search", one(&beside)),
        ("SearchService/Search", one(&grouped)),
        ("SearchService/Search", one(&diverse)),
        ("SearchService/Search", one(&paged)),
        ("SearchService/Suggest", one(&suggested)),
        ("SearchService/Search", one(&by_image(b"\x89PNG\r\n\x1a\n".to_vec(), 2))),
        ("SearchService/SearchBatch", one(&v1::SearchBatchRequest { requests: vec![rich, by_signature] })),
    ]
}
