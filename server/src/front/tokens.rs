//! Bearer tokens: a file of hashes with names and roles.

use super::roles::Role;
use crate::admission::Party;
use crate::config::Limits;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use lapel_heads::is_name;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Random bytes of a secret. With so many, a plain hash cannot be turned back.
const SECRET_BYTES: usize = 32;
/// Begins every secret, so that scanners for leaked secrets know it.
const PREFIX: &str = "lapel_";

/// Why a token file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("the token file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no token file; the reason does not quote it.
    #[error("the token file {path} is refused: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A caller that is known.
#[derive(Debug)]
pub(crate) struct Token {
    /// Its name, for logs.
    pub(crate) name: String,
    /// Whose profiles it saves and reads.
    pub(super) subject: String,
    hash: [u8; 32],
    roles: Vec<Role>,
    /// What its requests share.
    pub(super) party: Arc<Party>,
}

impl Token {
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// What stands for it where its secret must not lie, as in a cookie: of use to nobody but whoever has the key.
    pub(super) fn stand_in(&self, key: &[u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update(key).chain_update(self.hash).finalize().into()
    }
}

/// Everybody who is known.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<Arc<Token>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    token: Vec<RawToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    sha256: String,
    roles: Vec<Role>,
    /// The token's own name unless it is given; tokens of one subject share its profiles.
    #[serde(default)]
    subject: Option<String>,
}

impl Tokens {
    /// Reads a token file. A token of those `before` keeps what its requests share, by its name.
    pub(crate) fn load(path: &Path, limits: &Limits, before: Option<&Self>) -> Result<Self, TokensError> {
        let refused = |reason: String| TokensError::Refused { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokensError::Unreadable { path: path.to_owned(), source })?;
        let source = config::File::from_str(&text, config::FileFormat::Toml);
        let raw = config::Config::builder().add_source(source).build();
        let raw: RawFile =
            raw.and_then(config::Config::try_deserialize).map_err(|e| refused(e.to_string()))?;
        let before = before.into_iter().flat_map(|before| &before.0);
        let parties: HashMap<&str, &Arc<Party>> =
            before.map(|token| (token.name.as_str(), &token.party)).collect();
        let mut names = HashSet::new();
        let token = |RawToken { name, sha256, roles, subject }: RawToken| {
            let subject = subject.unwrap_or_else(|| name.clone());
            if let Some(unsound) = [&name, &subject].into_iter().find(|text| !is_name(text)) {
                let wanted = "1 to 64 characters, no control characters, no outer spaces";
                return Err(format!("{unsound:?} is no name of a token or subject: {wanted}"));
            }
            let hash =
                HEXLOWER_PERMISSIVE.decode(sha256.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
            let hash = hash.ok_or_else(|| format!("sha256 of {name:?} is not 64 hexadecimal digits"))?;
            if !names.insert(name.clone()) {
                return Err(format!("{name:?} is there twice"));
            }
            if roles.is_empty() {
                return Err(format!("{name:?} has no role"));
            }
            let party = parties.get(name.as_str()).copied().cloned();
            let party = party.unwrap_or_else(|| Arc::new(Party::token(limits)));
            Ok(Arc::new(Token { name, subject, hash, roles, party }))
        };
        let tokens: Result<Vec<_>, String> = raw.token.into_iter().map(token).collect();
        Ok(Self(tokens.map_err(refused)?))
    }

    /// The token with a secret. How long this takes does not depend on which one it is, or whether there is one.
    pub(crate) fn find(&self, secret: &str) -> Option<&Arc<Token>> {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let (mut found, mut place) = (Choice::from(0), 0u64);
        for (at, token) in self.0.iter().enumerate() {
            let equal = hash.ct_eq(&token.hash);
            place.conditional_assign(&(at as u64), equal);
            found |= equal;
        }
        if found.into() { self.0.get(place as usize) } else { None }
    }

    /// The token that something stands for.
    pub(super) fn find_stand_in(&self, key: &[u8; 32], shown: &[u8]) -> Option<&Arc<Token>> {
        self.0.iter().find(|token| token.stand_in(key).as_slice().ct_eq(shown).into())
    }
}

/// A secret that was made just now, which nobody keeps.
pub struct NewToken {
    /// What the caller sends: `authorization: Bearer SECRET`.
    pub secret: String,
    /// What the token file keeps of it.
    pub entry: String,
}

impl NewToken {
    /// Makes a secret.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(name: &str, roles: &[Role]) -> Result<Self, TokensError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(TokensError::Random)?;
        let secret = format!("{PREFIX}{}", HEXLOWER.encode(&bytes));
        let roles: Vec<String> = roles.iter().map(|role| format!("{:?}", role.name())).collect();
        let hash = HEXLOWER.encode(&Sha256::digest(secret.as_bytes()));
        let entry =
            format!("[[token]]\nname = {name:?}\nsha256 = \"{hash}\"\nroles = [{}]\n", roles.join(", "));
        Ok(Self { secret, entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Tokens, String> {
        load_after(text, None)
    }

    fn load_after(text: &str, before: Option<&Tokens>) -> Result<Tokens, String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, text).expect("written");
        Tokens::load(&path, &Limits::default(), before).map_err(|e| e.to_string())
    }

    #[test]
    fn a_new_token_is_found_by_its_secret_alone() {
        let (shop, admin) =
            (NewToken::new("shop", &[Role::Search, Role::Write]), NewToken::new("ops", &[Role::Admin]));
        let (shop, admin) = (shop.expect("made"), admin.expect("made"));
        assert_ne!(shop.secret, admin.secret);
        assert!(!shop.entry.contains(&shop.secret[PREFIX.len()..]), "the file does not hold the secret");
        let tokens = load(&(shop.entry + &admin.entry)).expect("sound");
        let found = tokens.find(&shop.secret).expect("known");
        assert!(found.name == "shop" && found.has(Role::Write) && !found.has(Role::Admin));
        assert_eq!(tokens.find(&admin.secret).expect("known").name, "ops");
        assert!(tokens.find("").is_none() && tokens.find("lapel_00").is_none());
        let stand_in = found.stand_in(&[7; 32]);
        assert_eq!(tokens.find_stand_in(&[7; 32], &stand_in).expect("known").name, "shop");
        assert!(tokens.find_stand_in(&[8; 32], &stand_in).is_none(), "of another key");
        assert!(
            tokens.find_stand_in(&[7; 32], &found.hash).is_none()
                && tokens.find_stand_in(&[7; 32], &[]).is_none()
        );
    }

    #[test]
    fn a_token_keeps_what_its_requests_share_when_the_file_is_read_anew() {
        let made = |name: &str| NewToken::new(name, &[Role::Search]).expect("made");
        let (shop, ops) = (made("shop"), made("ops"));
        let before = load(&shop.entry).expect("sound");
        let renewed = made("shop");
        let after = load_after(&(renewed.entry + &ops.entry), Some(&before)).expect("sound");
        let party = |tokens: &Tokens, secret: &str| tokens.find(secret).expect("known").party.clone();
        let shared = party(&before, &shop.secret);
        assert!(Arc::ptr_eq(&shared, &party(&after, &renewed.secret)), "with another secret, too");
        assert!(!Arc::ptr_eq(&shared, &party(&after, &ops.secret)));
    }

    #[test]
    fn unsound_files_are_refused_with_the_reason() {
        let hash = "ab".repeat(32);
        for (text, reason) in [
            (
                format!("[[token]]\nname = \"a\"\nsha256 = \"{}\"\nroles = [\"search\"]", &hash[1..]),
                "64 hexadecimal",
            ),
            (format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nroles = []"), "no role"),
            (format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nroles = [\"king\"]"), "king"),
            (
                format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nroles = [\"search\"]\n").repeat(2),
                "twice",
            ),
            (
                format!("[[token]]\nname = \"a\"\nsha256 = \"{hash}\"\nroles = [\"search\"]\nsubject = \"\""),
                "no name of a token or subject",
            ),
            ("token = 3".into(), "invalid type"),
        ] {
            let refused = load(&text).expect_err("refused");
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
