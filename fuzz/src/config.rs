//! Configuration files.

use lapel_server::Config;

/// Reads a configuration.
///
/// # Panics
/// When that fails in a way that is no [`lapel_server::ConfigError`].
pub fn config(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    if let Ok(config) = Config::load(Some(file.path())) {
        assert!(config.limits.k_max > 0 && config.limits.batch_max > 0, "{config:?}");
    }
}
