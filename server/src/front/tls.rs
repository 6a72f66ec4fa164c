//! Certificates, read anew whenever they are told to be.

use crate::config::TlsFiles;
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// Why certificates are refused.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path} is no PEM file of what is wanted: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
    /// Certificate and key do not go together, or are not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
    /// The authorities of client certificates cannot be used.
    #[error("the client certificates' authorities cannot be used: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// How connections are encrypted, as it is now.
pub(crate) struct Tls {
    files: TlsFiles,
    present: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { present: ArcSwap::new(read(files)?), files: files.clone() })
    }

    /// Reads the files anew, for connections from now on; with an error everything stays as it is.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.present.store(read(&self.files)?);
        Ok(())
    }

    /// For one new connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.present.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain = |path: &Path| -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        found.map_err(fault(path))
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(fault(&files.key))?;
    let provider = Arc::new(crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in chain(path)? {
                roots.add(certificate)?;
            }
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain(&files.certificate)?, key)?;
    // The second for proxies; browsers take the first.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
