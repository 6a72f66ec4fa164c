//! Health and reflection, as any gRPC tool asks for them.

use lapel_tests::TestServer;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

async fn channel(server: &TestServer) -> Channel {
    Channel::from_shared(server.address.clone()).expect("an address").connect().await.expect("connects")
}

#[tokio::test]
async fn a_ready_server_says_that_it_serves() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "lapel.v1.SearchService", "lapel.v1.AdminService"] {
        let check = HealthCheckRequest { service: service.to_owned() };
        let answer: HealthCheckResponse = health.check(check).await.expect("answers").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    server.finish().await;
}

#[tokio::test]
async fn reflection_lists_every_service_and_serves_its_description() {
    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let symbol = MessageRequest::FileContainingSymbol("lapel.v1.SearchService".into());
    let requests = vec![ask(MessageRequest::ListServices(String::new())), ask(symbol)];
    let stream = reflection.server_reflection_info(futures_util::stream::iter(requests)).await;
    let mut answers = stream.expect("answers").into_inner();
    let mut next =
        async || -> ServerReflectionResponse { answers.message().await.expect("answers").expect("one each") };
    let Some(MessageResponse::ListServicesResponse(list)) = next().await.message_response else {
        panic!("no list of services");
    };
    let names: Vec<String> = list.service.into_iter().map(|s| s.name).collect();
    for service in ["CatalogService", "SearchService", "FeedbackService", "HeadService"] {
        assert!(names.contains(&format!("lapel.v1.{service}")), "{names:?}");
    }
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");
    let Some(MessageResponse::FileDescriptorResponse(files)) = next().await.message_response else {
        panic!("no description of the search service");
    };
    assert!(!files.file_descriptor_proto.is_empty());
    server.finish().await;
}

/// The name of reflection that most tools knew first.
#[tokio::test]
async fn reflection_answers_under_its_older_name() {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
    let server = TestServer::start_with(|config| config.model.heads.clear()).await;
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let list = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request: list };
    let stream = reflection.server_reflection_info(futures_util::stream::iter([request])).await;
    let answer = stream.expect("answers").into_inner().message().await.expect("answers").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services");
    };
    assert!(list.service.iter().any(|s| s.name == "lapel.v1.SearchService"), "{list:?}");
    server.finish().await;
}
