//! Arguments that several verbs share.

use anyhow::{Context, bail};
use data_encoding::HEXLOWER_PERMISSIVE;
use lapel_client::v1;
use std::path::Path;

/// A photo or an item.
pub(crate) enum Subject {
    Photo(Vec<u8>),
    Item(String),
}

/// A photo when there is a file of that name, an item's id otherwise.
pub(crate) fn subject(text: &str) -> anyhow::Result<Subject> {
    let path = Path::new(text);
    if path.is_file() {
        return Ok(Subject::Photo(fs_err::read(path)?));
    }
    if text.contains('/')
        || [".jpg", ".jpeg", ".png", ".webp"].iter().any(|e| text.to_lowercase().ends_with(e))
    {
        bail!("there is no file {text}; give a photo's path or an item's id");
    }
    Ok(Subject::Item(text.to_owned()))
}

impl Subject {
    pub(crate) fn into_query(self) -> v1::Query {
        let source = match self {
            Self::Photo(bytes) => v1::query::Source::Image(bytes),
            Self::Item(id) => v1::query::Source::ItemId(id),
        };
        v1::Query { source: Some(source) }
    }
}

/// `attribute=label`.
pub(crate) fn manipulation(text: &str) -> anyhow::Result<v1::Manipulation> {
    let (attribute, label) = pair(text)?;
    Ok(v1::Manipulation { attribute, label })
}

/// `head=number`.
pub(crate) fn weight(text: &str) -> anyhow::Result<(String, f64)> {
    let (head, number) = pair(text)?;
    let weight = number.parse().with_context(|| format!("{number:?} in {text:?} is no number"))?;
    Ok((head, weight))
}

/// `attribute=label,label`.
pub(crate) fn filter(text: &str) -> anyhow::Result<v1::LabelFilter> {
    let (attribute, labels) = pair(text)?;
    let labels = labels.split(',').map(|l| l.trim().to_owned()).collect();
    Ok(v1::LabelFilter { attribute, labels, allow_unknown: false })
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (left, right) =
        text.split_once('=').with_context(|| format!("{text:?} lacks a \"=\", as in color=red"))?;
    Ok((left.trim().to_owned(), right.trim().to_owned()))
}

/// A file and its signature, which lies beside it as `FILE.sig` where it has one.
pub(crate) fn signed(path: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut signature_path = path.as_os_str().to_owned();
    signature_path.push(".sig");
    let signature_path = Path::new(&signature_path);
    let signature = match signature_path.exists() {
        true => {
            let text = fs_err::read_to_string(signature_path)?;
            let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
            bytes.with_context(|| format!("{} holds no hexadecimal digits", signature_path.display()))?
        }
        false => Vec::new(),
    };
    Ok((fs_err::read(path)?, signature))
}
