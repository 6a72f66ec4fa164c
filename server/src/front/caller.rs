//! Who asks, for services that keep things apart by it.

use super::roles::Role;
use super::tokens::Token;
use crate::error::Error;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose profiles are meant; `None` where there are no tokens.
    pub(crate) subject: Option<String>,
    /// Whether everybody's may be seen.
    pub(crate) is_operator: bool,
}

impl Caller {
    pub(super) fn new(token: Option<&Token>) -> Self {
        Self {
            subject: token.map(|token| token.subject.clone()),
            is_operator: token.is_none_or(|token| token.has(Role::Admin)),
        }
    }

    /// Who sent a request that has passed the gate.
    ///
    /// # Errors
    /// [`Error::Internal`] for one that has not.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Error> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Error::Internal("a request that has not passed the gate".into()))
    }
}
