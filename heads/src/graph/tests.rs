use super::*;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    let r#type = AttributeType::Int.into();
    node.attribute.push(AttributeProto { name: name.into(), i: value, r#type, ..AttributeProto::default() });
    node
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let (dims, float_data) = (dims.to_vec(), values.to_vec());
    TensorProto { name: name.into(), dims, data_type: 1, float_data, ..TensorProto::default() }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
    TensorProto { name: name.into(), dims, data_type: 7, int64_data, ..TensorProto::default() }
}

fn port(name: &str, numbers: i64) -> ValueInfoProto {
    let axis = |value| Dimension { value: Some(value), ..Dimension::default() };
    let batch = dimension::Value::DimParam("N".into());
    let dim = vec![axis(batch), axis(dimension::Value::DimValue(numbers))];
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
}

/// A file from `x`, `[N, 2]`, to `y`, `[N, 2]`.
fn file(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let (input, output) = (vec![port("x", 2)], vec![port("y", 2)]);
    let opset = OperatorSetIdProto { version: 18, ..OperatorSetIdProto::default() };
    let graph = GraphProto { node, initializer, input, output, ..GraphProto::default() };
    ModelProto { opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() }
}

fn build(file: &ModelProto) -> Result<Graph, GraphError> {
    Graph::new(&file.encode_to_vec(), 2, ("y", 2))
}

fn run(node: Vec<NodeProto>, constants: Vec<TensorProto>, row: [f32; 2]) -> Vec<f32> {
    let graph = build(&file(node, constants)).expect("sound");
    graph.run(&row).expect("computed")
}

fn is_near(found: &[f32], wanted: [f32; 2]) -> bool {
    found.len() == 2 && found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-5)
}

#[test]
fn operators_compute_what_onnx_says() {
    let weight = || floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let layer = |bias| with_int(node("Gemm", &["x", "w", bias], "h"), "transB", 1);
    let found = run(
        vec![layer("b"), node("Relu", &["h"], "y")],
        vec![weight(), floats("b", &[2], &[0.5, -9.0])],
        [1.0, -0.5],
    );
    assert!(is_near(&found, [0.5, 0.0]), "{found:?}");
    let found = run(vec![node("MatMul", &["x", "w"], "y")], vec![weight()], [1.0, -0.5]);
    assert!(is_near(&found, [-0.5, 0.0]), "{found:?}");
    // The tangent, and the length taken out.
    let norm = [
        node("Tanh", &["x"], "t"),
        with_int(node("ReduceL2", &["t", "axes"], "n"), "keepdims", 1),
        node("Div", &["t", "n"], "y"),
    ];
    let found = run(norm.to_vec(), vec![ints("axes", &[-1])], [0.3, -1.2]);
    let (a, b) = (0.3f32.tanh(), (-1.2f32).tanh());
    assert!(is_near(&found, [a / a.hypot(b), b / a.hypot(b)]), "{found:?}");
    let softmax = vec![with_int(node("Softmax", &["x"], "y"), "axis", 1)];
    let found = run(softmax, Vec::new(), [1.0, 2.0]);
    let second = 1.0 / (1.0 + (-1.0f32).exp());
    assert!(is_near(&found, [1.0 - second, second]), "{found:?}");
    let turned = vec![
        node("Slice", &["x", "one", "two", "one"], "last"),
        node("Slice", &["x", "zero", "one", "one"], "first"),
        with_int(node("Concat", &["last", "first"], "joined"), "axis", -1),
        node("Reshape", &["joined", "shape"], "y"),
    ];
    let constants = vec![ints("zero", &[0]), ints("one", &[1]), ints("two", &[2]), ints("shape", &[-1, 2])];
    assert!(is_near(&run(turned, constants, [5.0, 7.0]), [7.0, 5.0]));
}

#[test]
fn what_no_head_needs_is_refused_with_the_cause() {
    let refused = |node: Vec<NodeProto>, constants: Vec<TensorProto>, named: &str| {
        let error = build(&file(node, constants)).err().expect("refused").to_string();
        assert!(error.contains(named), "{named}: {error}");
    };
    let mut many = vec![node("Relu", &["x"], "n0")];
    many.extend((0..300).map(|at| {
        let (read, given) = (format!("n{at}"), format!("n{}", at + 1));
        node("Relu", &[read.as_str()], &given)
    }));
    let sum = |of: [&str; 2]| vec![node("Add", &of, "y")];
    let big: Vec<f32> = vec![1.0; 5000];
    refused(many, Vec::new(), "256");
    refused(vec![node("Loop", &["x"], "y")], Vec::new(), "\"Loop\"");
    refused(vec![NodeProto { domain: "mine".into(), ..node("Relu", &["x"], "y") }], Vec::new(), "mine.Relu");
    refused(sum(["x", "w"]), vec![floats("w", &[2], &[f32::NAN, 0.0])], "not finite");
    refused(sum(["x", "w"]), vec![floats("w", &[3], &[1.0, 0.0])], "shape [3]");
    refused(sum(["x", "w"]), vec![floats("w", &[3], &[1.0, 0.0, 1.0])], "broadcast");
    refused(sum(["a", "b"]), vec![floats("a", &[5000, 1], &big), floats("b", &[1, 5000], &big)], "25000000");
    refused(sum(["x", "x"]), vec![floats("y", &[1], &[1.0])], "two tensors");
    refused(vec![node("Relu", &["y"], "y")], Vec::new(), "nothing before it");
    refused(vec![node("Relu", &["x"], "z")], Vec::new(), "computed by no node");
    refused(vec![with_int(node("Softmax", &["x"], "y"), "axis", 5)], Vec::new(), "no axis 5");
    refused(vec![with_int(node("Relu", &["x"], "y"), "axis", 0)], Vec::new(), "axis");
    refused(vec![node("Reshape", &["x", "s"], "y")], vec![ints("s", &[3, -1])], "cannot become");
    refused(vec![node("Squeeze", &["x", "s"], "y")], vec![ints("s", &[1])], "longer than 1");
}

#[test]
fn what_follows_no_schema_is_refused() {
    let sound = || file(vec![node("Relu", &["x"], "y")], Vec::new());
    let refused = |change: &dyn Fn(&mut ModelProto), named: &str| {
        let mut changed = sound();
        change(&mut changed);
        let error = build(&changed).err().expect("refused").to_string();
        assert!(error.contains(named), "{named}: {error}");
    };
    let graph =
        |change: fn(&mut GraphProto)| move |file: &mut ModelProto| file.graph.iter_mut().for_each(change);
    refused(&|file| file.opset_import[0].version = 9, "operator set 9");
    refused(&|file| file.functions.push(Default::default()), "field 25");
    refused(&graph(|graph| graph.sparse_initializer.push(Default::default())), "field 15");
    refused(&graph(|graph| graph.input.push(port("z", 2))), "2 inputs");
    refused(&graph(|graph| graph.input[0] = port("x", 3)), "[N, 3]");
    refused(&graph(|graph| graph.output[0] = port("z", 2)), "wanted is y");
    let bytes = sound().encode_to_vec();
    for cut in 1..bytes.len() {
        assert!(Graph::new(&bytes[..cut], 2, ("y", 2)).is_err(), "cut at {cut}");
    }
    let twice = [bytes.as_slice(), &bytes].concat();
    assert!(matches!(Graph::new(&twice, 2, ("y", 2)), Err(GraphError::Damaged { .. })));
}
