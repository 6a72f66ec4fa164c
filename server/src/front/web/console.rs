//! The console: files that the server has in itself, as a browser gets them.

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::LazyLock;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, GetAll, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// Files by their paths below the base path.
type Embedded = [(&'static str, &'static [u8])];

/// The console's, as they were when the server was built.
static CONSOLE: &Embedded = include!(concat!(env!("OUT_DIR"), "/console.rs"));
/// What a browser gets that has not shown a token yet.
static SIGN_IN: &Embedded = &[
    ("sign-in", include_bytes!("sign_in.html")),
    ("sign-in.css", include_bytes!("sign_in.css")),
    ("sign-in.js", include_bytes!("sign_in.js")),
];
/// The page that a path without a name means.
const INDEX: &str = "index.html";

/// Nothing from elsewhere, no script in a page, no page of ours in a page of others. Pictures come as answers of calls
/// (blob:), and small ones in style sheets (data:).
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// A browser asks each time whether what it has is the newest; no cache on the way keeps what needs a token.
const CACHE: &str = "private, no-cache";

/// Whether the server was built with a console.
pub(super) fn is_there() -> bool {
    CONSOLE.iter().any(|(name, _)| *name == INDEX)
}

/// The answer to a request for a file of the console, or of what signs in to it; `None`: there is none such.
pub(super) fn file(
    path: &str,
    method: &Method,
    headers: &HeaderMap,
    may_search: bool,
) -> Option<Response<Body>> {
    static ALL: LazyLock<Vec<File>> = LazyLock::new(|| {
        CONSOLE.iter().chain(SIGN_IN).map(|&(name, bytes)| File::new(name, bytes)).collect()
    });
    let is_public = SIGN_IN.iter().any(|(name, _)| *name == path);
    let name = match path {
        "" if may_search => INDEX,
        "" => "sign-in",
        _ if may_search || is_public => path,
        _ => return None,
    };
    let file = ALL.iter().find(|file| file.name == name)?;
    Some(file.answer(method, headers))
}

/// A file, ready to be sent.
struct File {
    name: &'static str,
    kind: &'static str,
    plain: Bytes,
    /// Where it gains something.
    gzip: Option<Bytes>,
    /// Tells whether a browser has it.
    tag: String,
}

impl File {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(bytes));
        let tag = hash.get(..16).unwrap_or(&hash);
        Self {
            name,
            kind: kind(name),
            plain: Bytes::from_static(bytes),
            gzip: gzip(bytes).filter(|gzip| gzip.len() < bytes.len()),
            // Weak: it is the same for both encodings.
            tag: format!("W/\"{tag}\""),
        }
    }

    fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let is_known = names(headers.get_all(IF_NONE_MATCH), |known| known == self.tag || known == "*");
        let reads_gzip = names(headers.get_all(ACCEPT_ENCODING), |accepted| accepted == "gzip");
        let gzip = self.gzip.as_ref().filter(|_| reads_gzip);
        let bytes = gzip.unwrap_or(&self.plain);
        let body = if is_known || method == Method::HEAD { Bytes::new() } else { bytes.clone() };
        let mut answer = Response::new(Body::new(axum::body::Body::from(body)));
        let told = answer.headers_mut();
        let mut tell =
            |name: HeaderName, value: &'static str| told.insert(name, HeaderValue::from_static(value));
        tell(CACHE_CONTROL, CACHE);
        tell(CONTENT_SECURITY_POLICY, POLICY);
        tell(REFERRER_POLICY, "no-referrer");
        tell(X_CONTENT_TYPE_OPTIONS, "nosniff");
        tell(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        tell(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        tell(VARY, "accept-encoding, cookie");
        told.extend(HeaderValue::from_str(&self.tag).ok().map(|tag| (ETAG, tag)));
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        told.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        told.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        if gzip.is_some() {
            told.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

/// Whether one of the values in a header's lists is wanted; what is said of a value (`;q=1`) is passed over, but for what
/// is not acceptable at all.
fn names(lists: GetAll<'_, HeaderValue>, wanted: impl Fn(&str) -> bool) -> bool {
    let lists = lists.into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|value| {
        let (value, weight) = value.split_once(';').unwrap_or((value, ""));
        let weight: f32 = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(1.0);
        wanted(value.trim()) && weight > 0.0
    })
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    Some(encoder.finish().ok()?.into())
}

/// The content type of a file by its name's end; browsers guess none.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("html", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, asked: &[(HeaderName, &str)], may_search: bool) -> Option<Response<Body>> {
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        let headers: HeaderMap = asked.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        file(path, &Method::GET, &headers, may_search)
    }

    #[test]
    fn a_browser_without_a_token_gets_what_signs_in_and_nothing_else() {
        assert!(is_there());
        let title = |answer: &Response<Body>| answer.headers()[ETAG].clone();
        let (index, sign_in) = (ask("", &[], true).expect("there"), ask("", &[], false).expect("there"));
        assert_ne!(title(&index), title(&sign_in));
        assert_eq!(title(&index), title(&ask(INDEX, &[], true).expect("there")));
        assert_eq!(title(&sign_in), title(&ask("sign-in", &[], false).expect("there")));
        assert!(ask(INDEX, &[], false).is_none());
        for nothing in ["../Cargo.toml", "assets", "/", "assets/../index.html", "%69ndex.html"] {
            assert!(ask(nothing, &[], true).is_none(), "{nothing}");
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let answer = ask("sign-in", &[], false).expect("there");
        let tag = answer.headers()[ETAG].to_str().expect("text").to_owned();
        let known = format!("W/\"0\", {tag}");
        let known = ask("sign-in", &[(IF_NONE_MATCH, known.as_str())], false).expect("there");
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert!(!known.headers().contains_key(CONTENT_LENGTH));
        let other = ask("sign-in", &[(IF_NONE_MATCH, "W/\"0\"")], false).expect("there");
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn who_reads_gzip_gets_it() {
        let encoding = |accepted: &str| {
            let answer = ask("sign-in", &[(ACCEPT_ENCODING, accepted)], false).expect("there");
            answer.headers().contains_key(CONTENT_ENCODING)
        };
        assert!(encoding("gzip, deflate, br") && encoding("br;q=1.0, gzip;q=0.8"));
        assert!(!encoding("identity") && !encoding("gzip;q=0") && !encoding(""));
    }

    #[test]
    fn files_say_what_they_are_and_pages_take_nothing_from_elsewhere() {
        for (name, bytes) in CONSOLE.iter().chain(SIGN_IN) {
            assert_ne!(kind(name), "application/octet-stream", "{name}");
            assert!(!bytes.is_empty(), "{name}");
        }
        let answer = ask("sign-in", &[], false).expect("there");
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let (_, page) = SIGN_IN[0];
        let page = std::str::from_utf8(page).expect("text");
        assert!(!page.contains("://") && !page.contains("<style") && page.matches("<script").count() == 1);
    }
}
