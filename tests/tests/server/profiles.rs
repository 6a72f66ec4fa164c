//! Profiles belong to whoever saves them.

use lapel_client::{Access, Client, v1};
use lapel_server::{NewToken, Role};
use lapel_tests::{TestServer, by_item, external_bundle};
use std::collections::BTreeMap;
use std::path::Path;
use tonic::Code;
use tonic_types::StatusExt;

/// The tokens `shop`, `web` (of the shop's subject), `other` and `operator`, in a file; their secrets.
fn write_tokens(path: &Path) -> [String; 4] {
    let token = |name: &str, roles: &[Role]| NewToken::new(name, roles).expect("made");
    let both = [Role::Search, Role::Write];
    let [shop, mut web, other] = ["shop", "web", "other"].map(|name| token(name, &both));
    web.entry.push_str("subject = \"shop\"\n");
    let operator = token("operator", &[Role::Admin]);
    let tokens = [shop, web, other, operator];
    let text: String = tokens.iter().map(|token| token.entry.as_str()).collect();
    std::fs::write(path, text).expect("written");
    tokens.map(|token| token.secret)
}

async fn save(client: &mut Client, name: &str, weight: f64, request_id: &str) -> Result<u64, Code> {
    let request = v1::SaveProfileRequest {
        name: name.into(),
        weights: BTreeMap::from([("collar".to_owned(), weight)]),
        request_id: request_id.into(),
        ..Default::default()
    };
    let saved = client.feedback.save_profile(request).await.map_err(|status| status.code())?;
    Ok(saved.into_inner().profile.expect("told").version)
}

async fn weight(client: &mut Client, name: &str) -> Result<f64, Code> {
    let request = v1::GetProfileRequest { name: name.into() };
    let found = client.feedback.get_profile(request).await.map_err(|status| status.code())?;
    Ok(found.into_inner().profile.expect("told").weights["collar"])
}

/// Subjects and names on all pages.
async fn listed(client: &mut Client, all_subjects: bool) -> Result<Vec<(String, String)>, Code> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListProfilesRequest { page_size: 1, page_token, all_subjects };
        let page = client.feedback.list_profiles(request).await.map_err(|status| status.code())?.into_inner();
        found.extend(page.profiles.into_iter().map(|profile| (profile.subject, profile.name)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

#[tokio::test]
async fn nobody_sees_or_changes_the_profiles_of_others() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tokens.toml");
    let secrets = write_tokens(&path);
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.access.tokens = Some(path.clone());
    })
    .await;
    let mut clients = Vec::new();
    for secret in secrets {
        let access = Access { token: Some(secret), ..Access::default() };
        clients.push(Client::connect_with(&server.address, &access).await.expect("connects"));
    }
    let [shop, web, other, operator] = clients.as_mut_slice() else { panic!("four tokens") };
    assert_eq!(save(shop, "ann", 1.0, "").await, Ok(1));
    assert_eq!(save(shop, "zoe", 2.0, "once").await, Ok(1));
    assert_eq!(save(other, "ann", 3.0, "").await, Ok(1), "another ann");
    assert_eq!(weight(shop, "ann").await, Ok(1.0));
    assert_eq!(weight(web, "ann").await, Ok(1.0), "it is of the same subject");
    assert_eq!(weight(other, "ann").await, Ok(3.0));
    assert_eq!(weight(other, "zoe").await, Err(Code::NotFound));
    let spelled = weight(other, "\u{1f}shop\u{1f}zoe").await;
    assert_eq!(spelled, Err(Code::NotFound), "its key is nobody's name");
    assert_eq!(save(other, "zoe", 2.0, "once").await, Err(Code::InvalidArgument), "the id is the shop's");
    let delete = v1::DeleteProfileRequest { name: "zoe".into(), ..Default::default() };
    let refused = other.feedback.delete_profile(delete).await.expect_err("it has none");
    assert_eq!(
        (refused.code(), refused.message().contains("\"zoe\"")),
        (Code::NotFound, true),
        "{refused:?}"
    );
    let named = |subject: &str, name: &str| (subject.to_owned(), name.to_owned());
    assert_eq!(listed(web, false).await, Ok(vec![named("shop", "ann"), named("shop", "zoe")]));
    assert_eq!(listed(other, false).await, Ok(vec![named("other", "ann")]));
    assert_eq!(listed(other, true).await, Err(Code::PermissionDenied));
    let all = vec![named("other", "ann"), named("shop", "ann"), named("shop", "zoe")];
    assert_eq!(listed(operator, true).await, Ok(all));
    server.finish().await;
}

/// The names of a subject's profiles, as its token lists them.
async fn names(client: &mut Client) -> Vec<String> {
    listed(client, false).await.expect("listed").into_iter().map(|(_, name)| name).collect()
}

#[tokio::test]
async fn a_profile_from_before_tokens_belongs_to_the_first_that_saves_it() {
    let folder = tempfile::tempdir().expect("folder");
    let (data, path) = (folder.path().join("data"), folder.path().join("tokens.toml"));
    let mut open = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.data = data.clone();
    })
    .await;
    let mut client = open.client().await;
    for weight in [1.0, 2.0] {
        save(&mut client, "ann", weight, "").await.expect("saved");
    }
    save(&mut client, "zoe", 9.0, "").await.expect("saved");
    open.stop().await;
    let secrets = write_tokens(&path);
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.data = data.clone();
        config.access.tokens = Some(path.clone());
    })
    .await;
    let mut clients = Vec::new();
    for secret in secrets {
        let access = Access { token: Some(secret), ..Access::default() };
        clients.push(Client::connect_with(&server.address, &access).await.expect("connects"));
    }
    let [shop, web, other, operator] = clients.as_mut_slice() else { panic!("four tokens") };
    assert_eq!(weight(shop, "ann").await, Ok(2.0), "it is nobody's, and everybody's");
    assert_eq!(weight(other, "ann").await, Ok(2.0));
    assert_eq!(names(shop).await, [""; 0]);
    assert_eq!(save(shop, "ann", 3.0, "").await, Ok(3), "the next version of what it read");
    assert_eq!(names(web).await, ["ann"], "what the subject saved is the subject's");
    assert_eq!(weight(web, "ann").await, Ok(3.0));
    assert_eq!(weight(other, "ann").await, Err(Code::NotFound), "and nobody else's");
    let undo = v1::UndoProfileRequest { name: "ann".into(), ..Default::default() };
    let undone = web.feedback.undo_profile(undo).await.expect("undone").into_inner();
    let undone = undone.profile.expect("told");
    assert_eq!((undone.weights["collar"], undone.undo_steps, undone.subject.as_str()), (2.0, 1, "shop"));
    assert_eq!(save(other, "ann", 5.0, "").await, Ok(1), "another ann");
    let named = |subject: &str, name: &str| (subject.to_owned(), name.to_owned());
    let all = vec![named("other", "ann"), named("shop", "ann"), named("", "zoe")];
    assert_eq!(listed(operator, true).await, Ok(all));
    let delete = v1::DeleteProfileRequest { name: "ann".into(), ..Default::default() };
    shop.feedback.delete_profile(delete).await.expect("deleted");
    assert_eq!(weight(shop, "ann").await, Err(Code::NotFound), "nothing comes back from behind it");
    server.finish().await;
    open.finish().await;
}

/// A server of which the head `mood`, which the profile `ann` weighs alone, has gone, while `place` serves; an item `a` of
/// both.
async fn without_the_weighed_head() -> (TestServer, Client) {
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut client = server.client().await;
    for head in ["mood", "place"] {
        client.register_bundle(&external_bundle(head, 2, &["one"])).await.expect("registered");
    }
    let signature = |head: &str| v1::Signature { head: head.into(), values: vec![1.0, 1.0] };
    let item = v1::UpsertItemsRequest {
        id: "a".into(),
        signatures: vec![signature("mood"), signature("place")],
        ..v1::UpsertItemsRequest::default()
    };
    let results = client.upsert(vec![item]).await.expect("stored");
    assert!(results.iter().all(|result| result.error.is_none()), "{results:?}");
    let save = v1::SaveProfileRequest {
        name: "ann".into(),
        weights: BTreeMap::from([("mood".to_owned(), 2.0), ("place".to_owned(), 0.0)]),
        picked_ids: vec!["a".into()],
        ..v1::SaveProfileRequest::default()
    };
    client.feedback.save_profile(save).await.expect("saved");
    let retire = v1::RetireHeadRequest { name: "mood".into(), ..v1::RetireHeadRequest::default() };
    client.heads.retire_head(retire).await.expect("retired");
    (server, client)
}

#[tokio::test]
async fn a_profile_whose_heads_are_gone_is_named_as_the_fault() {
    let (server, mut client) = without_the_weighed_head().await;
    let profile = v1::search_request::Weighting::Profile("ann".into());
    let search = v1::SearchRequest { weighting: Some(profile), ..by_item("a", 1) };
    let searched = client.search.search(search).await.expect_err("no head is left");
    let personalise = v1::PersonaliseRequest {
        picked_ids: vec!["a".into()],
        profile: "ann".into(),
        k: 1,
        ..v1::PersonaliseRequest::default()
    };
    let personalised = client.feedback.personalise(personalise).await.expect_err("no head is left");
    for refused in [searched, personalised] {
        let details = refused.get_error_details();
        let fields: Vec<&str> = details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.as_str()).collect())
            .unwrap_or_default();
        assert_eq!((refused.code(), fields), (Code::FailedPrecondition, vec!["profile"]), "{refused:?}");
        assert_eq!(details.error_info().expect("a reason").reason, "PROFILE_WITHOUT_HEADS");
        assert!(refused.message().contains("do not serve any more"), "{refused:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn saving_what_a_profile_holds_changes_nothing_although_a_head_is_gone() {
    let (server, mut client) = without_the_weighed_head().await;
    let get = v1::GetProfileRequest { name: "ann".into() };
    let held = client.feedback.get_profile(get).await.expect("there").into_inner().profile.expect("told");
    let same = v1::SaveProfileRequest {
        name: held.name.clone(),
        weights: held.weights.clone(),
        picked_ids: held.picked_ids.clone(),
        ..v1::SaveProfileRequest::default()
    };
    let again = client.feedback.save_profile(same.clone()).await.expect("as it is").into_inner();
    assert_eq!(again.profile.expect("told"), held);
    let other = v1::SaveProfileRequest { picked_ids: Vec::new(), ..same };
    let refused = client.feedback.save_profile(other).await.expect_err("a head is gone");
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    server.finish().await;
}
