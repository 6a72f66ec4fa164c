//! Labels of an item: at most one an attribute, many may be missing.

use std::collections::BTreeMap;

/// Attribute to label; an attribute that is not there is unknown, which is not the same as "none".
pub type Labels = BTreeMap<String, String>;
