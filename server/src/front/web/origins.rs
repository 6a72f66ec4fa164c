//! Whose pages may call: the server's own, and those of the origins that the configuration names.

use super::plain;
use std::net::IpAddr;
use tonic::body::Body;
use tonic::codegen::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use tonic::codegen::http::uri::Authority;
use tonic::codegen::http::{HeaderValue, Method, Request, Response, StatusCode};

/// Headers that a page of another origin may send.
const SENT: &str = "authorization, content-type, grpc-accept-encoding, grpc-encoding, grpc-timeout, traceparent, \
                    tracestate, x-grpc-web, x-request-id, x-user-agent";
/// Headers of an answer that it may read.
const READ: &str = "grpc-encoding, grpc-message, grpc-status, grpc-status-details-bin, x-request-id";
/// Seconds for which a browser need not ask again; the longest that Chromium takes.
const MAX_AGE: &str = "7200";

/// Whose pages may call.
pub(super) struct Origins {
    listed: Vec<String>,
}

/// From where a request comes.
pub(super) enum Asking {
    /// From a page of this server, or from no page at all.
    Own,
    /// From a page whose origin is listed.
    Listed(HeaderValue),
    /// From any other page.
    Stranger,
}

impl Origins {
    pub(super) fn new(listed: Vec<String>) -> Self {
        Self { listed }
    }

    /// From where a request comes. Browsers name the page's origin with every call that changes something or that another
    /// page sends; other clients do not. `only_local`: a page counts as the server's own only where it was reached by a name
    /// of this machine. A name that its owner points here (DNS rebinding) would else make any site's pages the server's own.
    pub(super) fn asking(&self, request: &Request<Body>, only_local: bool) -> Asking {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Asking::Own };
        if origins.next().is_some() {
            return Asking::Stranger;
        }
        if self.listed.iter().any(|listed| origin == listed.as_str()) {
            return Asking::Listed(origin.clone());
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = request.uri().authority().map(Authority::as_str).or(host);
        // A proxy before the server may encrypt what comes to it in plain.
        let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let page = page.filter(|(scheme, _)| ["http", "https"].contains(scheme)).map(|(_, page)| page);
        match (page, host) {
            (Some(page), Some(host)) if page.eq_ignore_ascii_case(host) => {
                if only_local && !is_local(host) {
                    Asking::Stranger
                } else {
                    Asking::Own
                }
            }
            _ => Asking::Stranger,
        }
    }
}

impl Asking {
    /// What is said to a page in advance (a preflight); `None` where the request is none. It costs the server nothing else.
    pub(super) fn preflight(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        if let Self::Listed(_) = self {
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
        Some(self.allowed(answer))
    }

    /// The refusal of a page that may not call.
    pub(super) fn refused() -> Response<Body> {
        let text = "pages of this origin may not call this server; web.origins lists those that may, besides its own\n";
        plain(StatusCode::FORBIDDEN, text)
    }

    /// An answer, with what lets the page read it.
    pub(super) fn allowed(&self, mut answer: Response<Body>) -> Response<Body> {
        if let Self::Listed(origin) = self {
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        answer
    }
}

/// Whether a host, with or without a port, is a name of this machine whatever a name server says.
fn is_local(host: &str) -> bool {
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, host: &str, origin: Option<&str>) -> Request<Body> {
        let mut request = Request::builder().method(method).uri("/a/b").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.body(Body::empty()).expect("a request")
    }

    fn asking(host: &str, origin: Option<&str>, only_local: bool) -> &'static str {
        let origins = Origins::new(vec!["https://shop.example".into()]);
        match origins.asking(&request(Method::POST, host, origin), only_local) {
            Asking::Own => "own",
            Asking::Listed(_) => "listed",
            Asking::Stranger => "stranger",
        }
    }

    #[test]
    fn own_pages_listed_ones_and_no_pages_may_call() {
        let (here, shop) = ("127.0.0.1:7700", Some("https://shop.example"));
        assert_eq!(asking(here, None, true), "own");
        assert_eq!(asking(here, Some("http://127.0.0.1:7700"), true), "own");
        assert_eq!(asking("LocalHost:7700", Some("http://localhost:7700"), true), "own");
        assert_eq!(asking("[::1]:7700", Some("http://[::1]:7700"), true), "own");
        assert_eq!(asking(here, shop, true), "listed");
        for stranger in
            ["https://evil.example", "http://127.0.0.1:7701", "null", "", "https://shop.example.evil"]
        {
            assert_eq!(asking(here, Some(stranger), true), "stranger", "{stranger}");
        }
    }

    #[test]
    fn a_name_that_points_here_makes_no_page_the_servers_own() {
        let (host, origin) = ("evil.example:7700", Some("http://evil.example:7700"));
        assert_eq!(asking(host, origin, true), "stranger");
        assert_eq!(asking(host, origin, false), "own");
        assert_eq!(asking("127.0.0.1.evil.example", Some("http://127.0.0.1.evil.example"), true), "stranger");
    }

    #[test]
    fn preflights_tell_listed_pages_what_they_may_send() {
        let mut asked = request(Method::OPTIONS, "127.0.0.1:7700", Some("https://shop.example"));
        let listed = Asking::Listed(HeaderValue::from_static("https://shop.example"));
        assert!(listed.preflight(&asked).is_none(), "it asks for nothing");
        asked.headers_mut().insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        let answer = listed.preflight(&asked).expect("a preflight");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
        assert!(
            answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS]
                .to_str()
                .is_ok_and(|all| all.contains("x-grpc-web"))
        );
        let own = Asking::Own.preflight(&asked).expect("a preflight");
        assert!(own.headers().is_empty());
    }
}
