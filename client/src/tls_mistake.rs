//! Mistakes with encryption, told from what a broken connection's error says.

use std::error::Error;
use std::io::ErrorKind;

/// A mistake in how a server is reached. The texts name the command line's flags; they stand for [`crate::Access::ca`] and
/// [`crate::Access::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsMistake {
    /// A server that encrypts was addressed in the clear.
    #[error(
        "the server encrypts; write https:// in its address, and give its authority's certificate (--ca)"
    )]
    ServerEncrypts,
    /// A server in the clear was addressed as if it encrypted.
    #[error("the server does not encrypt; write http:// in its address")]
    ServerInTheClear,
    /// The server's certificate is of an authority that the caller does not know.
    #[error(
        "the server's certificate is not of a trusted authority; give its authority's certificate (--ca)"
    )]
    UntrustedAuthority,
    /// The server wants a client certificate.
    #[error("the server wants a client certificate; give it with its key (--certificate, --key)")]
    WantsCertificate,
    /// The server does not know the authority of the client certificate.
    #[error(
        "the server does not trust the client certificate; give one of its authority (--certificate, --key)"
    )]
    RefusesCertificate,
    /// The connection closed without a word. A server that encrypts does so when it is addressed in the clear.
    #[error(
        "the connection closed before an answer; where the server encrypts, write https:// in its address"
    )]
    ClosedInTheClear,
    /// The encrypted connection closed without a word. A server that wants a client certificate may do so.
    #[error(
        "the connection closed before an answer; where the server wants a client certificate, give it with its key \
         (--certificate, --key)"
    )]
    ClosedEncrypted,
}

impl TlsMistake {
    /// The mistake behind an error of a connection to `address`, or of a request over it; `None` where it says of none.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static), address: &str) -> Option<Self> {
        let is_encrypted = address.starts_with("https:");
        let mut causes = vec![error];
        while let Some(cause) = causes.last().copied().and_then(Error::source) {
            causes.push(cause);
        }
        let told = causes.iter().find_map(|cause| Self::told(&cause.to_string(), is_encrypted));
        let closed = if is_encrypted { Self::ClosedEncrypted } else { Self::ClosedInTheClear };
        told.or_else(|| causes.into_iter().any(is_closed).then_some(closed))
    }

    /// What the text of one cause says. The errors of rustls and h2 reach a caller as text alone, since h2 keeps nothing
    /// else of them.
    fn told(text: &str, is_encrypted: bool) -> Option<Self> {
        let known = [
            (true, "InvalidContentType", Self::ServerInTheClear),
            (true, "UnknownIssuer", Self::UntrustedAuthority),
            (true, "alert: CertificateRequired", Self::WantsCertificate),
            (true, "alert: UnknownCA", Self::RefusesCertificate),
            // A TLS alert, read as the head of a frame.
            (false, "frame with invalid size", Self::ServerEncrypts),
        ];
        let mut known = known.into_iter();
        known.find(|(of, part, _)| *of == is_encrypted && text.contains(*part)).map(|found| found.2)
    }
}

/// Whether the other side closed the connection while something was under way.
fn is_closed(cause: &(dyn Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
        || cause.to_string() == "operation was canceled"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn mistakes_are_told_by_the_words_of_the_libraries() {
        let (clear, encrypted) = ("http://localhost:7700", "https://localhost:7700");
        for (address, words, mistake) in [
            (clear, "connection error detected: frame with invalid size", Some(TlsMistake::ServerEncrypts)),
            (encrypted, "connection error detected: frame with invalid size", None),
            (encrypted, "invalid peer certificate: UnknownIssuer", Some(TlsMistake::UntrustedAuthority)),
            (encrypted, "received fatal alert: CertificateRequired", Some(TlsMistake::WantsCertificate)),
            (encrypted, "received fatal alert: UnknownCA", Some(TlsMistake::RefusesCertificate)),
            (
                encrypted,
                "received corrupt message of type InvalidContentType",
                Some(TlsMistake::ServerInTheClear),
            ),
            (clear, "Connection refused", None),
        ] {
            let error = io::Error::other(words);
            assert_eq!(TlsMistake::of(&error, address), mistake, "{address} {words}");
        }
        let reset = io::Error::from(ErrorKind::ConnectionReset);
        assert_eq!(TlsMistake::of(&reset, clear), Some(TlsMistake::ClosedInTheClear));
        assert_eq!(TlsMistake::of(&reset, encrypted), Some(TlsMistake::ClosedEncrypted));
    }
}
