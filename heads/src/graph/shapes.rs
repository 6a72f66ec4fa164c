//! What shape comes out of each node for one row of inputs, and what it costs to compute. tract infers shapes too, but
//! computes what follows from constants while it does so: a small file could ask it for any amount of memory and time.

use super::GraphError;
use super::axes::{Shape, axes, axis, broadcast, count};
use super::constant::{Numbers, RANK_MAX};
use super::error::shown;
use super::model::{Model, Node};
use super::operator::Rule;
use std::collections::BTreeMap;

/// Numbers that all nodes may give together: 64 MiB.
const NUMBERS_MAX: u64 = 1 << 24;
/// Multiplications of all products of matrices together.
const PRODUCTS_MAX: u64 = 1 << 28;

/// What is known of a tensor.
enum Known<'a> {
    /// f32; `constant`: as the file has them.
    Floats { shape: Shape, constant: bool },
    /// The numbers themselves.
    Ints(&'a [i64]),
}

/// What a node gives, and the multiplications that it takes.
struct Given {
    shape: Shape,
    products: u64,
}

/// The shape of the model's output where its input is `[1, inputs]`.
///
/// # Errors
/// [`GraphError`] where shapes do not fit each other, a name has no tensor or two, or the cost is beyond a bound.
pub(super) fn output_shape(model: &Model<'_>, inputs: usize) -> Result<Shape, GraphError> {
    model.input.check(inputs)?;
    let mut known = BTreeMap::new();
    for constant in &model.constants {
        let tensor = match &constant.numbers {
            Numbers::Floats(_) => Known::Floats { shape: constant.shape.clone(), constant: true },
            Numbers::Ints(ints) => Known::Ints(ints),
        };
        define(&mut known, constant.name, tensor)?;
    }
    define(&mut known, model.input.name, Known::Floats { shape: vec![1, inputs], constant: false })?;
    let (mut numbers, mut products) = (0u64, 0u64);
    for node in &model.nodes {
        let faulty = |fault| {
            let node_name = shown(node.name);
            GraphError::Node { node: node_name, operator: node.operator.name, fault }
        };
        let tensors = tensors(node, &known).map_err(faulty)?;
        let call = Call { node, opset: model.opset, tensors };
        let Given { shape, products: more } = call.given().map_err(faulty)?;
        if shape.len() > RANK_MAX {
            return Err(faulty(format!("it gives {} axes; at most {RANK_MAX} are accepted", shape.len())));
        }
        numbers = numbers.saturating_add(count(&shape));
        products = products.saturating_add(more);
        for (what, found, most) in [
            ("numbers to compute for a picture", numbers, NUMBERS_MAX),
            ("multiplications of matrix products for a picture", products, PRODUCTS_MAX),
        ] {
            if found > most {
                return Err(GraphError::Bound { what, found, most });
            }
        }
        define(&mut known, node.output, Known::Floats { shape, constant: false })?;
    }
    match known.remove(model.output) {
        Some(Known::Floats { shape, constant: false }) => Ok(shape),
        Some(Known::Floats { .. } | Known::Ints(_)) | None => {
            let fault = format!("its output {} is computed by no node", shown(model.output));
            Err(GraphError::Interface { fault })
        }
    }
}

fn define<'a>(
    known: &mut BTreeMap<&'a str, Known<'a>>,
    name: &'a str,
    tensor: Known<'a>,
) -> Result<(), GraphError> {
    if name.is_empty() || known.insert(name, tensor).is_some() {
        let fault = format!("the name {} is given to two tensors, or empty", shown(name));
        return Err(GraphError::Interface { fault });
    }
    Ok(())
}

/// What a node reads; `None` for an input that is left out.
fn tensors<'k, 'a>(
    node: &Node<'_>,
    known: &'k BTreeMap<&'a str, Known<'a>>,
) -> Result<Vec<Option<&'k Known<'a>>>, String> {
    let tensor = |name: &&str| match *name {
        "" => Ok(None),
        name => known
            .get(name)
            .map(Some)
            .ok_or_else(|| format!("it reads {}, which nothing before it gives", shown(name))),
    };
    node.inputs.iter().map(tensor).collect()
}

/// A node with what it reads.
struct Call<'c, 'a> {
    node: &'c Node<'a>,
    opset: i64,
    tensors: Vec<Option<&'c Known<'c>>>,
}

impl Call<'_, '_> {
    fn given(&self) -> Result<Given, String> {
        let shape = match self.node.operator.rule {
            Rule::Gemm => return self.gemm(),
            Rule::MatMul => return self.matmul(),
            Rule::Same => self.same()?,
            Rule::Clip => self.clip()?,
            Rule::Broadcast => broadcast(self.floats(0)?, self.floats(1)?)?,
            Rule::BatchNormalization => self.batch_normalization()?,
            Rule::LayerNormalization => self.layer_normalization()?,
            Rule::Reduce => self.reduce()?,
            Rule::Concat => self.concat()?,
            Rule::Slice => self.slice()?,
            Rule::Reshape => self.reshape()?,
            Rule::Flatten => self.flatten()?,
            Rule::Transpose => self.transpose()?,
            Rule::Squeeze => self.squeeze()?,
            Rule::Unsqueeze => self.unsqueeze()?,
            Rule::Constant => return Err("it is no step".to_owned()),
        };
        Ok(Given { shape, products: 0 })
    }

    /// The shape of an input of floats.
    fn floats(&self, at: usize) -> Result<&[usize], String> {
        match self.tensors.get(at) {
            Some(Some(Known::Floats { shape, .. })) => Ok(shape),
            Some(Some(Known::Ints(_))) => Err(format!("its input {at} is i64; f32 is wanted")),
            Some(None) | None => Err(format!("its input {at} is missing")),
        }
    }

    /// The whole numbers of an input that may be left out.
    fn ints(&self, at: usize) -> Result<Option<&[i64]>, String> {
        match self.tensors.get(at) {
            Some(Some(Known::Ints(ints))) => Ok(Some(ints)),
            Some(Some(Known::Floats { .. })) => {
                Err(format!("its input {at} is f32; a constant of i64 is wanted"))
            }
            Some(None) | None => Ok(None),
        }
    }

    /// As [`Call::ints`] of an input that must be there.
    fn needed_ints(&self, at: usize) -> Result<&[i64], String> {
        self.ints(at)?.ok_or_else(|| format!("its input {at} is missing"))
    }

    /// An attribute that is 0 or 1.
    fn flag(&self, name: &str, default: i64) -> Result<bool, String> {
        match self.node.int(name).unwrap_or(default) {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("its attribute {name} is {other}; 0 or 1 is wanted")),
        }
    }

    fn same(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        if let Some(value) = self.node.int("axis") {
            axis(value, shape.len())?;
        } else if shape.is_empty() {
            return Err("its input has no axes".to_owned());
        }
        Ok(shape.to_vec())
    }

    fn clip(&self) -> Result<Shape, String> {
        for at in [1, 2] {
            if matches!(self.tensors.get(at), Some(Some(_))) && !self.floats(at)?.is_empty() {
                return Err(format!("its input {at} is no single number"));
            }
        }
        self.same()
    }

    fn gemm(&self) -> Result<Given, String> {
        let (&[a, b], &[c, d]) = (self.floats(0)?, self.floats(1)?) else {
            return Err("its first two inputs have other than two axes".to_owned());
        };
        let (rows, inner) = if self.flag("transA", 0)? { (b, a) } else { (a, b) };
        let (other, columns) = if self.flag("transB", 0)? { (d, c) } else { (c, d) };
        if inner != other {
            return Err(format!("matrices [{rows}, {inner}] and [{other}, {columns}] cannot be multiplied"));
        }
        let shape = vec![rows, columns];
        if self.tensors.len() > 2 && broadcast(self.floats(2)?, &shape)? != shape {
            return Err(format!("its third input does not broadcast to {shape:?}"));
        }
        let products = count(&shape).saturating_mul(inner as u64);
        Ok(Given { shape, products })
    }

    fn matmul(&self) -> Result<Given, String> {
        let ([a @ .., rows, inner], [b @ .., other, columns]) = (self.floats(0)?, self.floats(1)?) else {
            return Err("its inputs have fewer than two axes".to_owned());
        };
        if inner != other {
            return Err(format!("matrices [{rows}, {inner}] and [{other}, {columns}] cannot be multiplied"));
        }
        let mut shape = broadcast(a, b)?;
        shape.extend([*rows, *columns]);
        let products = count(&shape).saturating_mul(*inner as u64);
        Ok(Given { shape, products })
    }

    fn batch_normalization(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        let Some(channels) = shape.get(1) else { return Err("its input has fewer than two axes".to_owned()) };
        for at in 1..5 {
            let is_constant =
                matches!(self.tensors.get(at), Some(Some(Known::Floats { constant: true, .. })));
            if !is_constant || self.floats(at)? != [*channels] {
                return Err(format!("its input {at} is no constant of {channels} numbers"));
            }
        }
        Ok(shape.to_vec())
    }

    fn layer_normalization(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        axis(self.node.int("axis").unwrap_or(-1), shape.len())?;
        for at in 1..self.tensors.len() {
            if broadcast(self.floats(at)?, shape)? != shape {
                return Err(format!("its input {at} does not broadcast to {shape:?}"));
            }
        }
        Ok(shape.to_vec())
    }

    fn reduce(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        let as_input = self.opset >= 18 || self.node.operator.name == "ReduceSum";
        let (attribute, input) = (self.node.ints("axes"), self.ints(1)?);
        if as_input && attribute.is_some() || !as_input && self.tensors.len() > 1 {
            let place = if as_input { "an input" } else { "an attribute" };
            return Err(format!("in operator set {} its axes are {place}", self.opset));
        }
        let keeps = self.flag("keepdims", 1)?;
        let axes = match attribute.or(input) {
            Some(all) => axes(all, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let axis = |(at, side): (usize, &usize)| match (axes.contains(&at), keeps) {
            (false, _) => Some(*side),
            (true, true) => Some(1),
            (true, false) => None,
        };
        Ok(shape.iter().enumerate().filter_map(axis).collect())
    }

    fn concat(&self) -> Result<Shape, String> {
        let first = self.floats(0)?;
        let value = self.node.int("axis").ok_or_else(|| "its attribute axis is missing".to_owned())?;
        let joined = axis(value, first.len())?;
        let mut total = 0usize;
        for at in 0..self.tensors.len() {
            let shape = self.floats(at)?;
            let differs = |place: usize| place != joined && shape.get(place) != first.get(place);
            if shape.len() != first.len() || (0..first.len()).any(differs) {
                return Err(format!("shapes {first:?} and {shape:?} cannot be joined along axis {joined}"));
            }
            total = total.saturating_add(shape.get(joined).copied().unwrap_or(0));
        }
        let mut shape = first.to_vec();
        shape.iter_mut().skip(joined).take(1).for_each(|side| *side = total);
        Ok(shape)
    }

    fn slice(&self) -> Result<Shape, String> {
        let mut shape = self.floats(0)?.to_vec();
        let (starts, ends) = (self.needed_ints(1)?, self.needed_ints(2)?);
        let axes = match self.ints(3)? {
            Some(all) => axes(all, shape.len())?,
            None => (0..starts.len()).collect(),
        };
        let steps = self.ints(4)?.unwrap_or_default();
        if starts.len() != axes.len() || ends.len() != axes.len() || steps.iter().any(|step| *step != 1) {
            return Err("its starts, ends and axes differ in number, or a step is not 1".to_owned());
        }
        for ((start, end), at) in starts.iter().zip(ends).zip(axes) {
            let Some(side) = shape.get_mut(at) else { return Err("it has more starts than axes".to_owned()) };
            let length = *side as i64;
            let place =
                |value: i64| (if value < 0 { value.saturating_add(length) } else { value }).clamp(0, length);
            match usize::try_from(place(*end) - place(*start)) {
                Ok(left) if left > 0 => *side = left,
                Ok(_) | Err(_) => return Err(format!("nothing is left of axis {at}")),
            }
        }
        Ok(shape)
    }

    fn reshape(&self) -> Result<Shape, String> {
        let (shape, wanted) = (self.floats(0)?, self.needed_ints(1)?);
        let cannot = || format!("{shape:?} cannot become {wanted:?}");
        let mut sides = Vec::new();
        for (at, side) in wanted.iter().enumerate() {
            sides.push(match side {
                -1 => None,
                0 => Some(*shape.get(at).ok_or_else(cannot)?),
                side => Some(usize::try_from(*side).map_err(|_| cannot())?),
            });
        }
        let fixed: Shape = sides.iter().copied().flatten().collect();
        // At most one is free. No side is 0.
        let rest = count(shape).checked_div(count(&fixed)).ok_or_else(cannot)?;
        let free = if sides.len() > fixed.len() { usize::try_from(rest).map_err(|_| cannot())? } else { 1 };
        let found: Shape = sides.into_iter().map(|side| side.unwrap_or(free)).collect();
        if found.len() > fixed.len() + 1 || count(&found) != count(shape) {
            return Err(cannot());
        }
        Ok(found)
    }

    fn flatten(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        let value = self.node.int("axis").unwrap_or(1);
        // Behind the last axis is a place, too.
        let at = if value == shape.len() as i64 { shape.len() } else { axis(value, shape.len())? };
        let (before, behind) = shape.split_at_checked(at).unwrap_or((shape, &[]));
        Ok(vec![before.iter().product(), behind.iter().product()])
    }

    fn transpose(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        let Some(order) = self.node.ints("perm") else { return Ok(shape.iter().rev().copied().collect()) };
        let order = axes(order, shape.len())?;
        if order.len() != shape.len() {
            return Err(format!("its attribute perm has {} axes of {}", order.len(), shape.len()));
        }
        Ok(order.iter().filter_map(|at| shape.get(*at).copied()).collect())
    }

    fn squeeze(&self) -> Result<Shape, String> {
        let shape = self.floats(0)?;
        let dropped = axes(self.needed_ints(1)?, shape.len())?;
        if dropped.iter().any(|at| shape.get(*at) != Some(&1)) {
            return Err(format!("of {shape:?} it drops an axis that is longer than 1"));
        }
        let kept = shape.iter().enumerate().filter(|(at, _)| !dropped.contains(at));
        Ok(kept.map(|(_, side)| *side).collect())
    }

    fn unsqueeze(&self) -> Result<Shape, String> {
        let (shape, added) = (self.floats(0)?, self.needed_ints(1)?);
        let rank = shape.len() + added.len();
        let added = axes(added, rank)?;
        let mut sides = shape.iter().copied();
        Ok((0..rank).map(|at| if added.contains(&at) { 1 } else { sides.next().unwrap_or(1) }).collect())
    }
}
