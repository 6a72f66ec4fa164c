//! Cookies with which a browser that has shown a token gets the console's files. They open nothing else: a call takes the
//! token itself, which pages of other sites do not have.

use crate::front::tokens::{Token, Tokens, TokensError};
use data_encoding::HEXLOWER;
use std::sync::Arc;
use tonic::codegen::http::header::COOKIE;
use tonic::codegen::http::{HeaderMap, HeaderValue};

/// What the cookie's name begins with. Behind it stands the server's port: cookies know none, and servers of one machine
/// would take each other's.
const NAME: &str = "lapel_session_";
/// Cookies of that name that are looked at.
const COOKIES_MAX: usize = 8;
/// What a proxy says of the connection that it has encrypted.
const FORWARDED: &str = "x-forwarded-proto";

/// What makes cookies, and knows them again until the server ends.
pub(super) struct Sessions {
    key: [u8; 32],
    name: String,
    /// Where the browser sends them.
    attributes: String,
    is_encrypted: bool,
}

impl Sessions {
    /// For files below a path that ends with a slash, of the server on a port.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(path: &str, port: u16, is_encrypted: bool) -> Result<Self, TokensError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(TokensError::Random)?;
        // Without an age it ends with the browser's session.
        let attributes = format!("; Path={path}; HttpOnly; SameSite=Strict");
        Ok(Self { key, name: format!("{NAME}{port}"), attributes, is_encrypted })
    }

    /// The cookie of a token. It goes over encrypted connections alone where this one is, which a proxy may have encrypted.
    pub(super) fn begin(&self, token: &Token, headers: &HeaderMap) -> Option<HeaderValue> {
        let value = HEXLOWER.encode(&token.stand_in(&self.key));
        let is_forwarded = headers.get(FORWARDED).is_some_and(|scheme| scheme.as_bytes() == b"https");
        let secure = if self.is_encrypted || is_forwarded { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{}={value}{}{secure}", self.name, self.attributes)).ok()
    }

    /// What has a browser forget its cookie.
    pub(super) fn end(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}={}; Max-Age=0", self.name, self.attributes)).ok()
    }

    /// The token of the cookie that a browser sends. Others of its name may be there: neighbours of a name or a path can set
    /// them.
    pub(super) fn token<'a>(&self, headers: &HeaderMap, tokens: &'a Tokens) -> Option<&'a Arc<Token>> {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
        let values = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(&self.name)?.strip_prefix('='))
            .take(COOKIES_MAX);
        let mut shown = values.filter_map(|value| HEXLOWER.decode(value.as_bytes()).ok());
        shown.find_map(|shown| tokens.find_stand_in(&self.key, &shown))
    }
}
