//! An ONNX file, read to what a head needs of it; every other field of the format is refused.

use super::GraphError;
use super::constant::{Constant, INTS_MAX, Numbers};
use super::error::{OPSET_MAX, OPSET_MIN, shown};
use super::input::Input;
use super::operator::{Operator, Rule, Wanted, accepted, operator_of};
use super::wire::fields;

/// Bounds, so that a small file cannot ask for much memory or time.
const NODES_MAX: usize = 256;
const CONSTANTS_MAX: usize = 512;
const PORTS_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 16;
/// ONNX's numbers of the kinds of attributes.
const KIND_FLOAT: i64 = 1;
const KIND_INT: i64 = 2;
const KIND_TEXT: i64 = 3;
const KIND_TENSOR: i64 = 4;
const KIND_FLOATS: i64 = 6;
const KIND_INTS: i64 = 7;

/// What a file holds.
pub(super) struct Model<'a> {
    /// The version of ONNX's own operators.
    pub(super) opset: i64,
    /// In an order in which they can be computed; without those that only hold a constant.
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) constants: Vec<Constant<'a>>,
    /// Its one input.
    pub(super) input: Input<'a>,
    /// The name of its one output.
    pub(super) output: &'a str,
}

/// One step of the computation.
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) operator: &'static Operator,
    /// Names of what it reads; one that is left out is empty.
    pub(super) inputs: Vec<&'a str>,
    /// Name of what it gives.
    pub(super) output: &'a str,
    pub(super) attributes: Vec<(&'static str, Attribute<'a>)>,
}

/// The value of an attribute.
pub(super) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Text(&'a str),
    Tensor(Constant<'a>),
}

impl<'a> Model<'a> {
    /// Reads a file. What is read is bounded and of known operators, but its shapes need not fit each other.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, GraphError> {
        let (mut graph, mut opset) = (None, None);
        for field in fields(bytes) {
            let field = field?;
            match field.number {
                // Versions, who made it, and text.
                1..=6 | 14 => {}
                7 => set(&mut graph, field.bytes()?)?,
                8 => {
                    if let Some(version) = own_opset(field.bytes()?)? {
                        set(&mut opset, version)?;
                    }
                }
                number => return Err(GraphError::Field { place: "model", field: number }),
            }
        }
        let opset = opset.unwrap_or(0);
        if !(OPSET_MIN..=OPSET_MAX).contains(&opset) {
            return Err(GraphError::OperatorSet { found: opset });
        }
        Self::of_graph(graph.ok_or(GraphError::Damaged { reason: "it has no graph" })?, opset)
    }

    fn of_graph(bytes: &'a [u8], opset: i64) -> Result<Self, GraphError> {
        let (mut nodes, mut constants) = (Vec::new(), Vec::new());
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for field in fields(bytes) {
            let field = field?;
            match field.number {
                1 => {
                    let node = Node::read(field.bytes()?, nodes.len())?;
                    if matches!(node.operator.rule, Rule::Constant) {
                        push(&mut constants, node.into_constant()?, "constants", CONSTANTS_MAX)?;
                    } else {
                        push(&mut nodes, node, "nodes", NODES_MAX)?;
                    }
                }
                // Name, text, shapes that are computed anew, metadata.
                2 | 10 | 13 | 16 => {}
                5 => push(&mut constants, Constant::read(field.bytes()?, None)?, "constants", CONSTANTS_MAX)?,
                11 => push(&mut inputs, Input::read(field.bytes()?)?, "inputs", CONSTANTS_MAX + 1)?,
                12 => push(&mut outputs, Input::read(field.bytes()?)?.name, "outputs", PORTS_MAX)?,
                number => return Err(GraphError::Field { place: "graph", field: number }),
            }
        }
        // Old files list constants among the inputs.
        inputs.retain(|input: &Input<'_>| !constants.iter().any(|constant| constant.name == input.name));
        let found = inputs.len();
        match (inputs.pop(), outputs.as_slice()) {
            (Some(input), [output]) if found == 1 => Ok(Self { opset, nodes, constants, input, output }),
            (_, outputs) => {
                let outputs = outputs.len();
                let fault = format!("it has {found} inputs and {outputs} outputs; one of each is wanted");
                Err(GraphError::Interface { fault })
            }
        }
    }
}

/// The version of an import of operators; `None` for those of others, which no node may use.
fn own_opset(bytes: &[u8]) -> Result<Option<i64>, GraphError> {
    let (mut domain, mut version) = ("", 0);
    for field in fields(bytes) {
        let field = field?;
        match field.number {
            1 => domain = field.text()?,
            2 => version = field.int()?,
            number => return Err(GraphError::Field { place: "operator set", field: number }),
        }
    }
    Ok(is_own(domain).then_some(version))
}

fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl<'a> Node<'a> {
    /// Reads node number `at`, from 0.
    fn read(bytes: &'a [u8], at: usize) -> Result<Self, GraphError> {
        let (mut name, mut operator, mut domain) = ("", "", "");
        let (mut inputs, mut outputs, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        for field in fields(bytes) {
            let field = field?;
            match field.number {
                1 => push(&mut inputs, field.text()?, "inputs of one node", PORTS_MAX)?,
                2 => push(&mut outputs, field.text()?, "outputs of one node", PORTS_MAX)?,
                3 => name = field.text()?,
                4 => operator = field.text()?,
                5 => push(&mut attributes, field.bytes()?, "attributes of one node", ATTRIBUTES_MAX)?,
                // Text and metadata.
                6 | 9 => {}
                7 => domain = field.text()?,
                number => return Err(GraphError::Field { place: "node", field: number }),
            }
        }
        let name = if name.is_empty() { outputs.first().copied().unwrap_or_default() } else { name };
        let node = || if name.is_empty() { format!("number {at}") } else { shown(name) };
        let Some(known) = operator_of(operator).filter(|_| is_own(domain)) else {
            let dot = if domain.is_empty() { "" } else { "." };
            let operator = shown(&format!("{domain}{dot}{operator}"));
            return Err(GraphError::Operator { node: node(), operator, accepted: accepted() });
        };
        let faulty = |fault| GraphError::Node { node: node(), operator: known.name, fault };
        let &[output] = outputs.as_slice() else {
            return Err(faulty(format!("it has {} outputs; one is wanted", outputs.len())));
        };
        let (least, most) = known.inputs;
        if !(least..=most).contains(&inputs.len()) {
            return Err(faulty(format!("it has {} inputs; {least} to {most} are wanted", inputs.len())));
        }
        let mut read: Vec<(&'static str, Attribute<'a>)> = Vec::new();
        for bytes in attributes {
            let (name, value) = attribute(bytes)?;
            let wanted = known.attributes.iter().find(|(wanted, _)| *wanted == name);
            let Some((name, wanted)) = wanted.filter(|(name, _)| read.iter().all(|(one, _)| one != name))
            else {
                return Err(faulty(format!("its attribute {} is unknown, or there twice", shown(name))));
            };
            let fault = || faulty(format!("its attribute {name} is another than can be read"));
            if is_kept(*wanted, &value).ok_or_else(fault)? {
                read.push((*name, value));
            }
        }
        Ok(Self { name, operator: known, inputs, output, attributes: read })
    }

    /// The constant that a node of the operator `Constant` is.
    fn into_constant(self) -> Result<Constant<'a>, GraphError> {
        let Self { name, operator, output, attributes, .. } = self;
        let fault = "it has no value, or several".to_owned();
        let faulty = GraphError::Node { node: shown(name), operator: operator.name, fault };
        let mut attributes = attributes.into_iter().map(|(_, value)| value);
        let (Some(value), None) = (attributes.next(), attributes.next()) else { return Err(faulty) };
        let (shape, numbers) = match value {
            Attribute::Tensor(constant) => return Ok(Constant { name: output, ..constant }),
            Attribute::Float(value) => (Vec::new(), Numbers::Floats(vec![value])),
            Attribute::Floats(values) => (vec![values.len()], Numbers::Floats(values)),
            Attribute::Int(value) => (Vec::new(), Numbers::Ints(vec![value])),
            Attribute::Ints(values) => (vec![values.len()], Numbers::Ints(values)),
            Attribute::Text(_) => return Err(faulty),
        };
        Constant { name: output, shape, numbers }.checked()
    }

    /// The attribute of that name, where it is a whole number.
    pub(super) fn int(&self, name: &str) -> Option<i64> {
        let (_, value) = self.attributes.iter().find(|(one, _)| *one == name)?;
        if let Attribute::Int(value) = value { Some(*value) } else { None }
    }

    /// The attribute of that name, where it is several whole numbers.
    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        let (_, value) = self.attributes.iter().find(|(one, _)| *one == name)?;
        if let Attribute::Ints(values) = value { Some(values.as_slice()) } else { None }
    }
}

/// Whether the runtime needs an attribute; `None` where it is not what is wanted.
fn is_kept(wanted: Wanted, value: &Attribute<'_>) -> Option<bool> {
    let is_sound = match (wanted, value) {
        (Wanted::Ignored, _) => return Some(false),
        (Wanted::Only(only), Attribute::Int(value)) => return (value == &only).then_some(false),
        (Wanted::Float, Attribute::Float(value)) => value.is_finite(),
        (Wanted::Text(texts), Attribute::Text(text)) => texts.contains(text),
        (wanted, value) => matches!(
            (wanted, value),
            (Wanted::Int, Attribute::Int(_))
                | (Wanted::Ints, Attribute::Ints(_))
                | (Wanted::Floats, Attribute::Floats(_))
                | (Wanted::Tensor, Attribute::Tensor(_))
        ),
    };
    is_sound.then_some(true)
}

fn attribute(bytes: &[u8]) -> Result<(&str, Attribute<'_>), GraphError> {
    let (mut name, mut kind, mut int, mut float, mut text, mut tensor) = ("", 0, 0, 0.0, "", None);
    let (mut ints, mut floats) = (Vec::new(), Vec::new());
    for field in fields(bytes) {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            2 => float = field.float()?,
            3 => int = field.int()?,
            4 => text = field.text()?,
            5 => set(&mut tensor, field.bytes()?)?,
            7 => field.floats(&mut floats)?,
            8 => field.ints(&mut ints, INTS_MAX)?,
            13 => {}
            20 => kind = field.int()?,
            number => return Err(GraphError::Field { place: "attribute", field: number }),
        }
    }
    let value = match kind {
        KIND_FLOAT => Attribute::Float(float),
        KIND_INT => Attribute::Int(int),
        KIND_TEXT => Attribute::Text(text),
        KIND_TENSOR => {
            let bytes = tensor.ok_or(GraphError::Damaged { reason: "an attribute lacks its tensor" })?;
            Attribute::Tensor(Constant::read(bytes, Some(name))?)
        }
        KIND_FLOATS => Attribute::Floats(floats),
        KIND_INTS => Attribute::Ints(ints),
        _ => return Err(GraphError::Damaged { reason: "an attribute is of a kind that is not read" }),
    };
    Ok((name, value))
}

/// Sets what may be there once: readers of protobuf differ in what they make of it twice.
pub(super) fn set<T>(place: &mut Option<T>, value: T) -> Result<(), GraphError> {
    match place.replace(value) {
        Some(_) => Err(GraphError::Damaged { reason: "a field is there twice" }),
        None => Ok(()),
    }
}

pub(super) fn push<T>(
    list: &mut Vec<T>,
    value: T,
    what: &'static str,
    most: usize,
) -> Result<(), GraphError> {
    list.push(value);
    let (found, most) = (list.len() as u64, most as u64);
    if found > most { Err(GraphError::Bound { what, found, most }) } else { Ok(()) }
}
