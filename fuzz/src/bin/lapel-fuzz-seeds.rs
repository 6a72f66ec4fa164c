//! Writes the first files of the corpora that a hand cannot write: sound messages of every method, and bundles.
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
    Bundle { manifest, tensors: tensors.into_iter().map(|(name, w)| (name.to_owned(), w)).collect() }
}

/// Every method at least once; names as they are in the server of the target.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let one = |message: &dyn Encoded| message.bytes();
    let signature = || v1::Signature { head: "style".into(), values: vec![0.6, 0.8] };
    let filter = || v1::LabelFilter {
        attribute: "color".into(),
        labels: vec!["red".into(), "blue".into()],
        allow_unknown: false,
        exists: None,
    };
    let price = |number| Some(v1::FieldValue { kind: Some(v1::field_value::Kind::Number(number)) });
    let range = v1::FieldRange {
        lower: price(1.0).map(v1::field_range::Lower::From),
        upper: price(2.5).map(v1::field_range::Upper::Below),
    };
    let tree = || {
        let node = |node| v1::Filter { node: Some(node) };
        let field = v1::FieldFilter {
            field: "price".into(),
            condition: Some(v1::field_filter::Condition::Range(range.clone())),
            allow_unknown: true,
        };
        let label = node(v1::filter::Node::Label(filter()));
        let none = node(v1::filter::Node::None(v1::FilterList { filters: vec![label] }));
        let field = node(v1::filter::Node::Field(field));
        node(v1::filter::Node::All(v1::FilterList { filters: vec![field, none] }))
    };
    let rich = v1::SearchRequest {
        manipulations: vec![set("color", "red")],
        weighting: weights(&[("color", 2.0), ("collar", 1.0)], true),
        filters: vec![filter()],
        exclude_ids: vec!["g1".into()],
        explain: true,
        exact: true,
        distance_max: Some(2.5),
        ..by_item("g0", 3)
    };
    let signatures = v1::SignatureSet { signatures: vec![signature()] };
    let by_signature = v1::SearchRequest {
        query: Some(v1::Query { source: Some(v1::query::Source::Signatures(signatures)) }),
        weighting: Some(Weighting::Profile("p".into())),
        plan: v1::PlanKind::Hnsw.into(),
        ..by_item("", 2)
    };
    let item = |id: &str| v1::UpsertItemsRequest {
        id: id.into(),
        labels: BTreeMap::from([("color".into(), "red".into())]),
        signatures: vec![signature()],
        request_id: "r1".into(),
        ..v1::UpsertItemsRequest::default()
    };
    let pictures = |image: &[u8]| v1::UpsertItemsRequest { image: image.to_vec(), ..item("x") };
    let only = |id: &str| v1::UpsertItemsRequest { labels_only: true, signatures: Vec::new(), ..item(id) };
    let parts: Vec<Vec<u8>> =
        bundle_parts(&external_bundle("style", 2, &["boho"])).iter().map(Message::encode_to_vec).collect();
    let header = v1::GenerationFileHeader {
        file: v1::GenerationFile::Backbone.into(),
        size_bytes: 4,
        sha256: "0".repeat(64),
        ..v1::GenerationFileHeader::default()
    };
    let generation = [
        v1::build_generation_request::Part::Header(header),
        v1::build_generation_request::Part::Chunk(b"none".to_vec()),
    ];
    let generation = generation.map(|part| v1::BuildGenerationRequest { part: Some(part) }.encode_to_vec());
    let upload = one(&v1::UpsertItemsStreamRequest { item: Some(item("x")) });
    let file = v1::GenerationFileContent {
        file: v1::GenerationFile::Backbone.into(),
        content: b"none".to_vec(),
        ..v1::GenerationFileContent::default()
    };
    let whole_generation =
        v1::BuildGenerationFromFilesRequest { files: vec![file], hold: true, request_id: "ra".into() };
    let whole_bundle = v1::RegisterHeadFromBundleRequest {
        bundle: external_bundle("style", 2, &["boho"]),
        request_id: "rb".into(),
        ..v1::RegisterHeadFromBundleRequest::default()
    };
    let labels = BTreeMap::from([("color".into(), 1.5), ("collar".into(), 0.5)]);
    vec![
        ("AdminService/Backup", Vec::new()),
        ("CatalogService/UpsertItems", streamed(&[one(&item("x")), one(&only("g0"))])),
        ("CatalogService/UpsertItems", streamed(&[one(&pictures(b"\xff\xd8\xff\xd9"))])),
        ("CatalogService/GetItem", one(&v1::GetItemRequest { id: "g0".into() })),
        ("CatalogService/GetItemImage", one(&v1::GetItemImageRequest { id: "g0".into() })),
        (
            "CatalogService/DeleteItems",
            one(&v1::DeleteItemsRequest { ids: vec!["x".into(), "y".into()], request_id: "r2".into() }),
        ),
        (
            "CatalogService/ListItems",
            one(&v1::ListItemsRequest {
                page_size: 2,
                page_token: String::new(),
                filters: vec![filter()],
                filter: Some(tree()),
            }),
        ),
        (
            "CatalogService/ExportItems",
            one(&v1::ExportItemsRequest { after: "g0".into(), no_images: true, in_pieces: true }),
        ),
        (
            "CatalogService/CatalogStats",
            one(&v1::CatalogStatsRequest { page_size: 1, page_token: "color\nred".into() }),
        ),
        ("CatalogService/StreamItemImage", one(&v1::StreamItemImageRequest { id: "g0".into() })),
        ("CatalogService/UpsertItemsStream", streamed(&[upload])),
        (
            "FeedbackService/Personalise",
            one(&v1::PersonaliseRequest {
                picked_ids: vec!["g1".into(), "g2".into()],
                query: by_item("g0", 1).query,
                manipulations: vec![set("color", "red")],
                filters: vec![filter()],
                k: 2,
                explain: true,
                ..v1::PersonaliseRequest::default()
            }),
        ),
        (
            "FeedbackService/SaveProfile",
            one(&v1::SaveProfileRequest {
                name: "p".into(),
                weights: labels,
                picked_ids: vec!["g1".into()],
                request_id: "r3".into(),
            }),
        ),
        ("FeedbackService/GetProfile", one(&v1::GetProfileRequest { name: "p".into() })),
        (
            "FeedbackService/ListProfiles",
            one(&v1::ListProfilesRequest { page_size: 1, page_token: "p".into(), ..Default::default() }),
        ),
        (
            "FeedbackService/UndoProfile",
            one(&v1::UndoProfileRequest { name: "p".into(), version: 1, request_id: "r4".into() }),
        ),
        (
            "FeedbackService/DeleteProfile",
            one(&v1::DeleteProfileRequest { name: "p".into(), request_id: "r5".into() }),
        ),
        ("GenerationService/BuildGeneration", streamed(&generation)),
        ("GenerationService/BuildGenerationFromFiles", one(&whole_generation)),
        ("GenerationService/WatchGeneration", one(&v1::WatchGenerationRequest { backbone: "b".into() })),
        ("GenerationService/ListGenerations", Vec::new()),
        (
            "GenerationService/SwitchGeneration",
            one(&v1::SwitchGenerationRequest { backbone: "b".into(), request_id: "r6".into() }),
        ),
        (
            "GenerationService/DropGeneration",
            one(&v1::DropGenerationRequest { backbone: "b".into(), request_id: "r7".into() }),
        ),
        ("HeadService/RegisterHead", streamed(&parts)),
        ("HeadService/RegisterHeadFromBundle", one(&whole_bundle)),
        (
            "HeadService/PromoteHead",
            one(&v1::PromoteHeadRequest { name: "style".into(), version: 1, request_id: "r8".into() }),
        ),
        (
            "HeadService/RollbackHead",
            one(&v1::RollbackHeadRequest { name: "style".into(), request_id: "r9".into() }),
        ),
        (
            "HeadService/CancelHead",
            one(&v1::CancelHeadRequest { name: "style".into(), request_id: "r".into() }),
        ),
        ("HeadService/WatchHead", one(&v1::WatchHeadRequest { name: "style".into(), version: 1 })),
        (
            "HeadService/ListHeads",
            one(&v1::ListHeadsRequest { page_size: 2, state: 5, ..v1::ListHeadsRequest::default() }),
        ),
        ("HeadService/GetHead", one(&v1::GetHeadRequest { name: "color".into(), version: 1 })),
        (
            "HeadService/RetireHead",
            one(&v1::RetireHeadRequest { name: "style".into(), version: 1, request_id: "q".into() }),
        ),
        (
            "HeadService/ListLabels",
            one(&v1::ListLabelsRequest {
                attribute: "color".into(),
                page_size: 1,
                page_token: String::new(),
            }),
        ),
        (
            "SearchService/Describe",
            one(&v1::DescribeRequest {
                source: Some(v1::describe_request::Source::ItemId("g0".into())),
                include_signatures: true,
                labels_max: 2,
            }),
        ),
        ("SearchService/Search", one(&rich)),
        ("SearchService/Search", one(&by_signature)),
        ("SearchService/Search", one(&by_image(b"\x89PNG\r\n\x1a\n".to_vec(), 2))),
        (
            "SearchService/SearchBatch",
            one(&v1::SearchBatchRequest { requests: vec![rich.clone(), by_signature] }),
        ),
    ]
}

/// A message of whatever type.
trait Encoded {
    fn bytes(&self) -> Vec<u8>;
}

impl<M: Message> Encoded for M {
    fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
