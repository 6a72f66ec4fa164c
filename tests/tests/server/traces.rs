//! Traces reach a collector: a span a request, below the caller's own, with the stages below it.

use data_encoding::HEXLOWER;
use lapel_render::{render, to_jpeg};
use lapel_tests::{TestServer, by_image, ingest};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Keeps the spans that it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        self.0.lock().expect("not poisoned").extend(scopes.flat_map(|s| s.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_with_its_stages_below_the_callers_span() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let service = TraceServiceServer::new(collector.clone());
    let incoming = TcpListenerStream::new(listener);
    let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
    tokio::spawn(serving);
    let server = TestServer::start_with(|config| {
        config.model.heads.truncate(1);
        config.operation.traces = Some(endpoint);
    })
    .await;
    let mut client = server.client().await;
    ingest(&mut client, 1, 3).await;
    let mut request = Request::new(by_image(to_jpeg(&render(8, 1).photo), 3));
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let header = format!("00-{trace}-{parent}-01").parse().expect("a header");
    request.metadata_mut().insert("traceparent", header);
    client.search.search(request).await.expect("answered");
    // The server sends what is left when it stops.
    server.finish().await;
    let spans = collector.0.lock().expect("not poisoned").clone();
    let found: Vec<&Span> = spans.iter().filter(|s| s.name == "lapel.v1.SearchService/Search").collect();
    let [search] = found[..] else { panic!("one search was made: {spans:?}") };
    assert_eq!(
        (HEXLOWER.encode(&search.trace_id).as_str(), HEXLOWER.encode(&search.parent_span_id).as_str()),
        (trace, parent)
    );
    let of = |key: &str| search.attributes.iter().any(|a| a.key == key);
    assert!(of("rpc.response.status_code") && of("lapel.request_id") && of("lapel.plan"), "{search:?}");
    let below: Vec<&Span> = spans.iter().filter(|s| s.parent_span_id == search.span_id).collect();
    let mut names: Vec<&str> = below.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["decode", "model", "search"]);
    for stage in below {
        assert!(stage.start_time_unix_nano <= stage.end_time_unix_nano, "{stage:?}");
        let within = search.start_time_unix_nano <= stage.start_time_unix_nano
            && stage.end_time_unix_nano <= search.end_time_unix_nano;
        assert!(within, "{stage:?} of {search:?}");
    }
    let ingest = spans.iter().find(|s| s.name == "lapel.v1.CatalogService/UpsertItems").expect("told");
    assert_ne!(ingest.trace_id, search.trace_id, "a request without a caller's span has a trace of its own");
}
