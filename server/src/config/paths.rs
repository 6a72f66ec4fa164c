//! Paths in a configuration file: relative ones start at the file's folder, wherever the server is started from.

use std::path::Path;

/// Keys of paths.
const PATHS: [&str; 8] = [
    "data",
    "model.backbone",
    "model.extract_parts",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "access.tokens",
    "access.bundle_key",
];
/// Keys of lists of paths.
const LISTS: [&str; 1] = ["model.heads"];

/// Reads a configuration file. What is of the wrong type is left for whoever takes the values.
pub(super) fn read(file: &Path) -> Result<config::Config, config::ConfigError> {
    let source = config::File::from(file).format(config::FileFormat::Toml);
    let read = config::Config::builder().add_source(source).build()?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let below = |path: String| folder.join(path).to_string_lossy().into_owned();
    let mut builder = config::Config::builder().add_source(read.clone());
    for key in PATHS {
        builder = builder.set_override_option(key, read.get_string(key).ok().map(below))?;
    }
    for key in LISTS {
        let paths: Option<Vec<String>> = read.get(key).ok();
        let paths = paths.map(|paths| paths.into_iter().map(below).collect::<Vec<String>>());
        builder = builder.set_override_option(key, paths)?;
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use std::path::PathBuf;

    #[test]
    fn relative_paths_of_a_file_start_at_its_folder() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("lapel.toml");
        let text = "data = 'catalogue'\n[model]\nheads = ['a.safetensors', '/usr/share/b.safetensors']\n\
                    [tls]\ncertificate = 'tls/server.pem'\nkey = '/run/server.key'\n[access]\ntokens = 'tokens.toml'\n";
        std::fs::write(&file, text).expect("written");
        let config = Config::load(Some(&file)).expect("read");
        let below = |path: &str| folder.path().join(path);
        assert_eq!(config.data, below("catalogue"));
        assert_eq!(config.model.heads, [below("a.safetensors"), PathBuf::from("/usr/share/b.safetensors")]);
        // What the file does not name is as without a file: below the working directory.
        assert_eq!(config.model.backbone, Config::default().model.backbone);
        let tls = config.tls.expect("there");
        assert_eq!((tls.certificate, tls.key), (below("tls/server.pem"), PathBuf::from("/run/server.key")));
        assert_eq!((tls.client_ca, config.access.tokens), (None, Some(below("tokens.toml"))));
    }
}
