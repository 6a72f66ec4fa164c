//! The one door to tract.

use super::GraphError;
use super::constant::{Constant, INT64, Numbers};
use super::error::runtime_fault;
use super::model::{Attribute, Model, Node};
use super::operator::FLOAT;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{self, type_proto};
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, TractResult, TypedRunnableModel, tvec,
};

/// A graph as tract runs it.
pub(super) struct Runtime {
    model: Arc<TypedRunnableModel>,
}

impl Runtime {
    /// Compiles a model, whose shapes fit each other, for one row of inputs.
    pub(super) fn new(model: &Model<'_>, inputs: usize) -> Result<Self, GraphError> {
        let proto = proto(model, inputs);
        let model = contained(|| {
            tract_onnx::onnx().model_for_proto_model(&proto)?.into_optimized()?.into_runnable()
        })?;
        Ok(Self { model })
    }

    /// The output for one row.
    pub(super) fn run(&self, row: &[f32]) -> Result<Vec<f32>, GraphError> {
        contained(|| {
            let input = tract_onnx::prelude::Tensor::from_shape(&[1, row.len()], row)?;
            let outputs = self.model.run(tvec!(input.into()))?;
            let output = outputs.into_iter().next().map(|output| {
                output.try_as_plain_ram().and_then(|output| output.as_slice::<f32>().map(<[f32]>::to_vec))
            });
            output.unwrap_or_else(|| Ok(Vec::new()))
        })
    }
}

/// Calls tract. It has assertions and code that is not implemented, and a head must fail alone: a panic there is an error
/// here. What it was working on is not used again after one, but for the compiled model, which running does not change.
fn contained<T>(call: impl FnOnce() -> TractResult<T>) -> Result<T, GraphError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|error| runtime_fault(&format!("{error:#}"))),
        Err(_) => Err(runtime_fault("it panicked")),
    }
}

/// The model as tract reads it, made of what was checked and of nothing else in the file.
fn proto(model: &Model<'_>, inputs: usize) -> pb::ModelProto {
    let axis = |length: usize| Dimension {
        value: Some(dimension::Value::DimValue(length as i64)),
        ..Dimension::default()
    };
    let shape = pb::TensorShapeProto { dim: vec![axis(1), axis(inputs)] };
    let tensor = type_proto::Tensor { elem_type: FLOAT as i32, shape: Some(shape) };
    let kind =
        pb::TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..pb::TypeProto::default() };
    let port = |name: &str, r#type| pb::ValueInfoProto {
        name: name.to_owned(),
        r#type,
        ..pb::ValueInfoProto::default()
    };
    let graph = pb::GraphProto {
        node: model.nodes.iter().map(node).collect(),
        initializer: model.constants.iter().map(tensor_proto).collect(),
        input: vec![port(model.input.name, Some(kind))],
        output: vec![port(model.output, None)],
        ..pb::GraphProto::default()
    };
    let opset = pb::OperatorSetIdProto { version: model.opset, ..pb::OperatorSetIdProto::default() };
    pb::ModelProto { opset_import: vec![opset], graph: Some(graph), ..pb::ModelProto::default() }
}

fn node(node: &Node<'_>) -> pb::NodeProto {
    // All that is computed is f32 already.
    let operator = if node.operator.name == "Cast" { "Identity" } else { node.operator.name };
    pb::NodeProto {
        input: node.inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![node.output.to_owned()],
        // Names of nodes need not differ in a file; those of what they give do.
        name: node.output.to_owned(),
        op_type: operator.to_owned(),
        attribute: node.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..pb::NodeProto::default()
    }
}

fn attribute(name: &str, value: &Attribute<'_>) -> pb::AttributeProto {
    let mut proto = pb::AttributeProto { name: name.to_owned(), ..pb::AttributeProto::default() };
    let kind = match value {
        Attribute::Int(value) => {
            proto.i = *value;
            AttributeType::Int
        }
        Attribute::Float(value) => {
            proto.f = *value;
            AttributeType::Float
        }
        Attribute::Ints(values) => {
            proto.ints.clone_from(values);
            AttributeType::Ints
        }
        Attribute::Floats(values) => {
            proto.floats.clone_from(values);
            AttributeType::Floats
        }
        Attribute::Text(text) => {
            proto.s = text.as_bytes().to_vec();
            AttributeType::String
        }
        Attribute::Tensor(tensor) => {
            proto.t = Some(tensor_proto(tensor));
            AttributeType::Tensor
        }
    };
    proto.r#type = kind.into();
    proto
}

fn tensor_proto(constant: &Constant<'_>) -> pb::TensorProto {
    let mut proto = pb::TensorProto {
        name: constant.name.to_owned(),
        dims: constant.shape.iter().map(|side| *side as i64).collect(),
        ..pb::TensorProto::default()
    };
    match &constant.numbers {
        Numbers::Floats(floats) => {
            proto.data_type = FLOAT as i32;
            proto.float_data.clone_from(floats);
        }
        Numbers::Ints(ints) => {
            proto.data_type = INT64 as i32;
            proto.int64_data.clone_from(ints);
        }
    }
    proto
}
