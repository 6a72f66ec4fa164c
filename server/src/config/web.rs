//! What browsers get.

use serde::Deserialize;

/// What browsers get on the port of gRPC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Whether the console is served; gRPC-web is, either way.
    pub console: bool,
    /// The path below which browsers reach the server through a reverse proxy that passes paths on as they are, as
    /// "/lapel"; empty: the root.
    pub base_path: String,
    /// Origins of the pages that may call besides the server's own, as `https://shop.example`.
    pub origins: Vec<String>,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { console: true, base_path: String::new(), origins: Vec::new() }
    }
}

impl WebConfig {
    /// What is no path and no origin.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !is_base_path(&self.base_path) {
            let wanted = "is no path such as \"/lapel\", without a slash at its end; empty is the root";
            faults.push(format!("web.base_path: {:?} {wanted}", self.base_path));
        }
        let wanted = "is no origin such as \"https://shop.example\" or \"http://localhost:5173\"";
        let bad = self.origins.iter().filter(|origin| !is_origin(origin));
        faults.extend(bad.map(|origin| format!("web.origins: {origin:?} {wanted}")));
        faults
    }
}

fn is_base_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(sound)
    };
    path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment))
}

/// Whether a text is an origin as browsers send it: in lower case, and no more than a scheme, a host and a port.
fn is_origin(text: &str) -> bool {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(sound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_begins_with_a_slash_and_does_not_end_with_one() {
        for path in ["", "/lapel", "/tools/lapel-2"] {
            assert!(is_base_path(path), "{path:?}");
        }
        for path in ["/", "lapel", "/lapel/", "//", "/a//b", "/..", "/a b", "/a?b"] {
            assert!(!is_base_path(path), "{path:?}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        for origin in ["https://shop.example", "http://localhost:5173", "http://[::1]:7700"] {
            assert!(is_origin(origin), "{origin:?}");
        }
        for origin in
            ["*", "null", "shop.example", "https://", "https://shop.example/", "https://Shop.example"]
        {
            assert!(!is_origin(origin), "{origin:?}");
        }
        let config = WebConfig { base_path: "x".into(), origins: vec!["*".into()], ..WebConfig::default() };
        assert_eq!(config.contradictions().len(), 2);
        assert_eq!(WebConfig::default().contradictions(), Vec::<String>::new());
    }
}
