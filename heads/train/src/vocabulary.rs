//! Which labels a head learns, and which label each example has.

use super::examples::Example;
use super::head_trainer::TrainError;
use super::recipe::HeadRecipe;
use super::triplets::Targets;
use lapel_heads::Attribute;
use std::collections::BTreeMap;

/// Real photos that a label needs to be learnt, or ...
pub(super) const REAL_MIN: usize = 8;
/// ... rendered garments.
pub(super) const RENDERED_MIN: usize = 40;

/// The attributes that a head learns, with the labels that occur often enough, and each example's labels.
pub(super) fn attributes_of(
    recipe: &HeadRecipe,
    examples: &[Example],
    validation: &[bool],
) -> Result<(Vec<Attribute>, Targets), TrainError> {
    let attributes = recipe.attributes.iter().map(|a| labels_of(a, recipe, examples));
    let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
    let number = |a: &Attribute, e: &Example| {
        let label = e.labels.get(&a.name).filter(|_| recipe.real || !e.is_real())?;
        a.labels.iter().position(|l| l == label).map(|at| at as u32)
    };
    let by_attribute = attributes.iter().map(|a| examples.iter().map(|e| number(a, e)).collect()).collect();
    let sizes: Vec<usize> = attributes.iter().map(|a| a.labels.len()).collect();
    Ok((attributes, Targets::new(by_attribute, &sizes, validation.iter().map(|held| !held).collect())))
}

/// The labels of an attribute that occur often enough, by name.
fn labels_of(attribute: &str, recipe: &HeadRecipe, examples: &[Example]) -> Result<Attribute, TrainError> {
    let name = attribute.to_owned();
    if !recipe.labels.is_empty() {
        return Ok(Attribute { name, labels: recipe.labels.clone() });
    }
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for example in examples.iter().filter(|e| e.variant == 0) {
        if let Some(label) = example.labels.get(attribute) {
            let (real, rendered) = counts.entry(label).or_default();
            if example.is_real() { *real += usize::from(recipe.real) } else { *rendered += 1 }
        }
    }
    let enough = counts.iter().filter(|(_, (real, rendered))| *real >= REAL_MIN || *rendered >= RENDERED_MIN);
    let labels: Vec<String> = enough.map(|(label, _)| (*label).to_owned()).collect();
    if labels.is_empty() {
        Err(TrainError::NoLabels { attribute: name })
    } else {
        Ok(Attribute { name, labels })
    }
}
