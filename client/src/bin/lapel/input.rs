//! Arguments that several verbs share.

use crate::output;
use anyhow::Context;
use data_encoding::HEXLOWER_PERMISSIVE;
use lapel_client::v1;
use std::collections::BTreeMap;
use std::path::Path;

/// A photo or an item.
pub(crate) enum Subject {
    Photo(Vec<u8>),
    Item(String),
}

/// Put before an id that is also the name of a file.
const ITEM: &str = "item:";

/// A photo when there is a file of that name, an item's id otherwise; `item:ID` is always an item's id.
pub(crate) fn subject(text: &str) -> anyhow::Result<Subject> {
    if let Some(id) = text.strip_prefix(ITEM) {
        return Ok(Subject::Item(id.to_owned()));
    }
    let path = Path::new(text);
    if path.is_file() { Ok(Subject::Photo(fs_err::read(path)?)) } else { Ok(Subject::Item(text.to_owned())) }
}

/// The error of a request about a [`subject`]. Where no item has that id, it says that no file has that name either.
pub(crate) fn refused(text: &str, status: tonic::Status) -> anyhow::Error {
    let is_missing = status.code() == tonic::Code::NotFound && status.message().contains(text);
    if is_missing && !text.starts_with(ITEM) {
        output::note(format!("{text} is not the name of a file either; give a photo's path or an item's id"));
    }
    status.into()
}

impl Subject {
    pub(crate) fn into_query(self) -> v1::Query {
        let source = match self {
            Self::Photo(bytes) => v1::query::Source::Image(bytes),
            Self::Item(id) => v1::query::Source::ItemId(id),
        };
        v1::Query { source: Some(source), also_signatures: Vec::new() }
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

/// `head=version`, one a head.
pub(crate) fn head_versions(texts: &[String]) -> anyhow::Result<BTreeMap<String, u32>> {
    let one = |text: &String| -> anyhow::Result<(String, u32)> {
        let (head, number) = pair(text)?;
        let version =
            number.parse().with_context(|| format!("{number:?} in {text:?} is no version of a head"))?;
        Ok((head, version))
    };
    texts.iter().map(one).collect()
}

/// `attribute=label,label`.
pub(crate) fn filter(text: &str) -> anyhow::Result<v1::LabelFilter> {
    let (attribute, labels) = pair(text)?;
    let labels = labels.split(',').map(|l| l.trim().to_owned()).collect();
    Ok(v1::LabelFilter { attribute, labels, allow_unknown: false, exists: None })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_an_item_and_so_is_what_says_so() {
        let item = |text: &str| match subject(text).expect("read") {
            Subject::Item(id) => Some(id),
            Subject::Photo(_) => None,
        };
        for id in ["shop/123/red", "x.jpg", "plain"] {
            assert_eq!(item(id).as_deref(), Some(id));
            assert_eq!(item(&format!("item:{id}")).as_deref(), Some(id));
        }
        assert_eq!(item("item:item:a").as_deref(), Some("item:a"));
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, "photo").expect("written");
        let path = path.to_str().expect("UTF-8");
        assert_eq!(item(path), None);
        assert_eq!(item(&format!("item:{path}")).as_deref(), Some(path));
    }
}
