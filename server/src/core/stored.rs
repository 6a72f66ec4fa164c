//! The models of a catalogue: those that are stored, and the configured one for a catalogue that has none.

use super::OpenError;
use crate::config::Config;
use crate::life::{HeadState, Life, ModelStatus, Models, file_keys};
use crate::model::Model;
use crate::request::now_ms;
use crate::store::{HeadChange, Store, StoreError};
use lapel_heads::{TextTower, load_backbone};
use std::path::Path;
use std::sync::Arc;

/// The models that are alive, the one that serves first, and the states of all. A catalogue without any gets the
/// configured one.
pub(super) fn load_models(store: &Store, config: &Config) -> Result<(Vec<Arc<Model>>, Models), OpenError> {
    let (records, _) = store.models()?;
    let known = records.into_iter().map(|(f, record)| (f.clone(), ModelStatus::from_record(f, record)));
    let mut states: Models = known.collect();
    let serving = states.values().find(|m| m.state == HeadState::Active).cloned();
    let Some(serving) = serving else {
        let configured = Configured::read(config)?;
        let status = ModelStatus {
            fingerprint: configured.model.fingerprint().to_owned(),
            state: HeadState::Active,
            promotes_itself: false,
            heads: Vec::new(),
            registered_ms: now_ms(),
        };
        let model = configured.store(store, &status)?;
        states.insert(status.fingerprint.clone(), status);
        return Ok((vec![Arc::new(model)], states));
    };
    let first = match stored_model(store, &serving.fingerprint)? {
        Ok(model) => model,
        Err(reason) => {
            tracing::error!(fingerprint = serving.fingerprint, reason, "the stored backbone cannot be read");
            let configured = Configured::read(config)?;
            if configured.model.fingerprint() != serving.fingerprint {
                let configured = configured.model.fingerprint().to_owned();
                return Err(OpenError::ModelLost { fingerprint: serving.fingerprint, reason, configured });
            }
            configured.store(store, &serving)?
        }
    };
    let mut models = vec![Arc::new(first)];
    let waiting = |m: &&mut ModelStatus| m.is_alive() && m.state != HeadState::Active;
    for status in states.values_mut().filter(waiting) {
        match stored_model(store, &status.fingerprint)? {
            Ok(model) => models.push(Arc::new(model)),
            Err(reason) => status.state = HeadState::Failed(reason),
        }
    }
    Ok((models, states))
}

/// Compares the configured backbone with the one that serves, and says so where the catalogue keeps another.
///
/// # Errors
/// [`OpenError::Unsound`] where the configured file is no backbone. One that is not there is none of a catalogue that has
/// its own.
pub(super) fn check_configured(store: &Store, config: &Config, life: &Life) -> Result<(), OpenError> {
    let path = &config.model.backbone;
    let Ok(serving) = life.serving().map(|model| model.fingerprint.as_str()) else { return Ok(()) };
    let configured = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(serving, %error, "the configured backbone cannot be read; the catalogue has its own");
            return Ok(());
        }
    };
    let [key, _] = file_keys(serving);
    let stored = store.bundle(&key).ok().flatten();
    // The same file nearly always; only another one must be looked into.
    if stored.as_ref().is_some_and(|stored| *stored == configured) {
        return Ok(());
    }
    let backbone = load_backbone(&configured)
        .map_err(|source| OpenError::Unsound { path: path.clone(), source: source.into() })?;
    if backbone.fingerprint() != serving {
        tracing::warn!(
            serving,
            configured = backbone.fingerprint(),
            "the catalogue keeps the backbone that it was made with, and heads of the configured one cannot be registered; \
             `lapel generations build` changes it"
        );
    } else if reads_words(&configured) && stored.is_some_and(|stored| !reads_words(&stored)) {
        // It gives the same features: the text tower alone is new.
        let bundles = vec![(key, configured)];
        let generation = store.generation()?;
        store.change_heads(&HeadChange { bundles, generation, ..HeadChange::default() })?;
        tracing::info!(serving, "the configured backbone has a text tower, and takes the stored one's place");
    }
    Ok(())
}

fn reads_words(backbone: &[u8]) -> bool {
    TextTower::file_in(backbone).is_ok_and(|text| text.is_some())
}

/// The configured model with its files.
struct Configured {
    model: Model,
    files: [Vec<u8>; 2],
}

impl Configured {
    fn read(config: &Config) -> Result<Self, OpenError> {
        let path = &config.model.backbone;
        let files = [read_model(path)?, read_model(&config.model.extract_parts)?];
        let model = Model::from_bytes(&files[0], &files[1])
            .map_err(|source| OpenError::Unsound { path: path.clone(), source })?;
        Ok(Self { model, files })
    }

    /// Stores it with its state.
    fn store(self, store: &Store, status: &ModelStatus) -> Result<Model, OpenError> {
        let bundles = file_keys(&status.fingerprint).into_iter().zip(self.files).collect();
        let models = vec![(status.fingerprint.clone(), status.record())];
        let generation = store.generation()?;
        store.change_heads(&HeadChange { models, bundles, generation, ..HeadChange::default() })?;
        Ok(self.model)
    }
}

/// A configured file of a model or a head.
pub(super) fn read_model(path: &Path) -> Result<Vec<u8>, OpenError> {
    std::fs::read(path).map_err(|source| OpenError::Model { path: path.to_owned(), source })
}

/// The inner error says why the model is broken.
fn stored_model(store: &Store, fingerprint: &str) -> Result<Result<Model, String>, StoreError> {
    let mut files = Vec::new();
    for key in file_keys(fingerprint) {
        match store.bundle(&key) {
            Ok(Some(bytes)) => files.push(bytes),
            Ok(None) => return Ok(Err(format!("{key} is gone"))),
            Err(error) if error.is_damage() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    let model = Model::from_bytes(&files[0], &files[1]).map_err(|e| e.to_string());
    Ok(model.and_then(|model| {
        let found = model.fingerprint().to_owned();
        if found == fingerprint { Ok(model) } else { Err(format!("the file is of backbone {found}")) }
    }))
}
