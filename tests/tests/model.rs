//! Tens of thousands of random operations with restarts, compared with plain maps.

use lapel_client::{Client, v1};
use lapel_tests::TestServer;
use lapel_tests::chance::{seed, so_many};
use lapel_tests::model::{Changes, ModelItems, check_answers, exported, register_heads};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Items changed and answers compared.
const OPERATIONS: u64 = 30_000;

/// What the server should keep beside the items.
#[derive(Default)]
struct Kept {
    items: ModelItems,
    /// By name: the weights of all versions, the latest last.
    profiles: BTreeMap<String, Vec<f64>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_what_plain_maps_do() {
    let seed = seed();
    let operations = so_many("LAPEL_MODEL_OPERATIONS", OPERATIONS);
    println!("{operations} operations, LAPEL_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // With indexes, which need all signatures in memory, then with signatures that come and go.
    for memory_bytes in [0, 1 << 16] {
        operate(operations / 2, memory_bytes, &mut random, &format!("LAPEL_SEED={seed}")).await;
    }
}

async fn operate(operations: u64, memory_bytes: usize, random: &mut ChaCha8Rng, seed: &str) {
    let mut server = TestServer::start_with(|config| {
        config.model.heads.clear();
        config.search.hnsw_items_min = 100;
        config.search.memory_bytes = lapel_server::ByteSize(memory_bytes);
        config.search.signatures = Some(lapel_server::Precision::F32);
    })
    .await;
    let mut client = server.client().await;
    register_heads(&mut client).await.expect("registered");
    let (mut kept, mut done, mut restarts, mut requests) = (Kept::default(), 0u64, 0, 0u64);
    while done < operations {
        let context = format!("{seed}, {memory_bytes} bytes, operation {done}");
        requests += 1;
        // Chance brings a few restarts, or now and then none: then there is one halfway.
        let is_due = restarts == 0 && done >= operations / 2;
        done += match if is_due { 100 } else { random.random_range(0..100) } {
            0..=69 => change(&mut client, &mut kept, random, requests, &context).await,
            70..=79 => read(&mut client, &kept, random, &context).await,
            80..=89 => {
                profile(&mut client, &mut kept, random, &context).await;
                1
            }
            90..=98 => {
                check_answers(&mut client, &kept.items, random, &context).await;
                3
            }
            _ if is_due || random.random_bool(0.15) => {
                server.restart().await;
                client = server.client().await;
                restarts += 1;
                assert_eq!(exported(&mut client).await.expect("exported"), kept.items, "{context}");
                1
            }
            _ => 0,
        };
    }
    assert_eq!(exported(&mut client).await.expect("exported"), kept.items);
    println!(
        "{done} operations in {requests} requests, {restarts} restarts, {} items at the end",
        kept.items.len()
    );
    assert!(restarts > 0);
    server.finish().await;
}

/// Changes items; one request in ten comes twice, and changes nothing the second time.
async fn change(
    client: &mut Client,
    kept: &mut Kept,
    random: &mut ChaCha8Rng,
    request: u64,
    context: &str,
) -> u64 {
    // Now few, now many: slots are freed, taken again, and compacted.
    let ids = if (request / 2000).is_multiple_of(2) { 400 } else { 3000 };
    let changes = Changes { prefix: "i", ids, items_max: 24, images: &[] };
    let op = changes.next(random, &kept.items);
    let id = format!("r{request}");
    op.send(client, &id).await.unwrap_or_else(|e| panic!("{context}: {e:?} for {op:?}"));
    op.apply(&mut kept.items);
    if random.random_bool(0.1) {
        let between = changes.next(random, &kept.items);
        between.send(client, "").await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
        between.apply(&mut kept.items);
        op.send(client, &id).await.unwrap_or_else(|e| panic!("{context}: repeated: {e:?}"));
        return (op.len() + between.len()) as u64;
    }
    op.len() as u64
}

async fn read(client: &mut Client, kept: &Kept, random: &mut ChaCha8Rng, context: &str) -> u64 {
    let id = format!("i{:03}", random.random_range(0..3000));
    let found = client.catalog.get_item(v1::GetItemRequest { id: id.clone() }).await;
    match (found, kept.items.get(&id)) {
        (Ok(found), Some(wanted)) => {
            let found = found.into_inner().item.expect("told");
            assert_eq!(found.labels, wanted.labels, "{context}: {id}");
            assert!(found.heads.iter().eq(wanted.signatures.keys()), "{context}: {id}");
        }
        (Err(status), None) => assert_eq!(status.code(), tonic::Code::NotFound, "{context}"),
        (found, wanted) => panic!("{context}: {id} is {found:?}, not {wanted:?}"),
    }
    let request = v1::ListItemsRequest { page_size: 20, page_token: id.clone(), ..Default::default() };
    let page = client.catalog.list_items(request).await.expect("listed").into_inner();
    let wanted: Vec<&String> = kept.items.keys().filter(|k| **k > id).take(20).collect();
    assert!(page.items.iter().map(|i| &i.id).eq(wanted), "{context}: the page after {id}");
    2
}

async fn profile(client: &mut Client, kept: &mut Kept, random: &mut ChaCha8Rng, context: &str) {
    let name = format!("p{}", random.random_range(0..20));
    let found = client.feedback.get_profile(v1::GetProfileRequest { name: name.clone() }).await;
    let found = found.ok().and_then(|p| p.into_inner().profile);
    let wanted = kept.profiles.get(&name).and_then(|v| v.last().copied());
    assert_eq!(found.map(|p| p.weights["mood"]), wanted, "{context}: {name}");
    match (random.random_range(0..4), kept.profiles.get_mut(&name)) {
        (0, Some(versions)) if versions.len() > 1 => {
            let undo = v1::UndoProfileRequest { name, ..Default::default() };
            client.feedback.undo_profile(undo).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            versions.pop();
        }
        (1, Some(_)) => {
            let delete = v1::DeleteProfileRequest { name: name.clone(), ..Default::default() };
            client.feedback.delete_profile(delete).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            kept.profiles.remove(&name);
        }
        _ => {
            let weight = f64::from(random.random_range(1..1_000_000));
            let weights = BTreeMap::from([("mood".to_owned(), weight)]);
            let save = v1::SaveProfileRequest { name: name.clone(), weights, ..Default::default() };
            client.feedback.save_profile(save).await.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            let versions = kept.profiles.entry(name).or_default();
            if versions.last() != Some(&weight) {
                versions.push(weight);
            }
            // The server keeps 20 to go back to.
            let surplus = versions.len().saturating_sub(21);
            versions.drain(..surplus);
        }
    }
}
