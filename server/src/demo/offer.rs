//! What the demo's garments are offered for. Nobody sells them: product, price and stock are made up, from their ids alone.

use crate::store::ContentId;
use lapel_values::{FieldValue, Fields, Finite};

/// Garments of a product.
const PRODUCT: u32 = 3;
/// Garments of which there are some left: so many of 256.
const IN_STOCK: u8 = 205;

/// The fields of a garment: `price`, `stock`, `in_stock`, and `product`, of which it is one form.
pub(super) fn fields(id: &str) -> Fields {
    let [cents, count, left, ..] = ContentId::of(id.as_bytes()).0;
    // From 9.90 to 136.90.
    let price = Finite::new(9.9 + f64::from(cents >> 1)).map(FieldValue::Number);
    let stock = if left < IN_STOCK { i64::from(1 + count % 40) } else { 0 };
    let fields = [
        ("in_stock", FieldValue::Boolean(stock > 0)),
        ("product", FieldValue::Keyword(product(id))),
        ("stock", FieldValue::Integer(stock)),
    ];
    let fields = fields.into_iter().chain(price.map(|price| ("price", price)));
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A few garments with numbers that follow each other are one product: `dress-04` to `dress-06` are `dress-p2`.
fn product(id: &str) -> String {
    let numbered = id.rsplit_once('-').and_then(|(kind, number)| Some((kind, number.parse::<u32>().ok()?)));
    numbered.map_or_else(
        || id.to_owned(),
        |(kind, number)| format!("{kind}-p{}", number.saturating_sub(1) / PRODUCT + 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garments_that_follow_each_other_are_one_product() {
        let of = ["dress-01", "dress-03", "dress-04", "demo-00004", "odd"].map(product);
        assert_eq!(of, ["dress-p1", "dress-p1", "dress-p2", "demo-p2", "odd"]);
        let (all, sold_out) = (fields("dress-01"), FieldValue::Integer(0));
        assert_eq!(all.len(), 4);
        assert_eq!(all["in_stock"], FieldValue::Boolean(all["stock"] != sold_out));
    }
}
