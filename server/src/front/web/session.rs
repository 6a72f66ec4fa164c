//! Cookies with which a browser that has shown a token gets the console's files. They open nothing else: a call takes the
//! token itself, which pages of other sites do not have.

use crate::front::tokens::{Token, Tokens, TokensError};
use data_encoding::HEXLOWER;
use std::sync::Arc;
use tonic::codegen::http::header::COOKIE;
use tonic::codegen::http::{HeaderMap, HeaderValue};

/// The cookie's name.
const NAME: &str = "lapel_session";

/// What makes cookies, and knows them again until the server ends.
pub(super) struct Sessions {
    key: [u8; 32],
    /// Where the browser sends them.
    attributes: String,
}

impl Sessions {
    /// For files below a path that ends with a slash.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(path: &str, is_encrypted: bool) -> Result<Self, TokensError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(TokensError::Random)?;
        let secure = if is_encrypted { "; Secure" } else { "" };
        // Without an age it ends with the browser's session.
        Ok(Self { key, attributes: format!("; Path={path}; HttpOnly; SameSite=Strict{secure}") })
    }

    /// The cookie of a token.
    pub(super) fn begin(&self, token: &Token) -> Option<HeaderValue> {
        let value = HEXLOWER.encode(&token.stand_in(&self.key));
        HeaderValue::try_from(format!("{NAME}={value}{}", self.attributes)).ok()
    }

    /// What has a browser forget its cookie.
    pub(super) fn end(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{NAME}={}; Max-Age=0", self.attributes)).ok()
    }

    /// The token of the cookie that a browser sends.
    pub(super) fn token<'a>(&self, headers: &HeaderMap, tokens: &'a Tokens) -> Option<&'a Arc<Token>> {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let mut values = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='));
        let shown = HEXLOWER.decode(values.next()?.as_bytes()).ok()?;
        tokens.find_stand_in(&self.key, &shown)
    }
}
