//! The operators that a graph may have. All are without memory, chance or files, and the shape of what they give follows
//! from the shapes that they read.

/// How an operator's shape and cost follow from its inputs; [`super::shapes`] has each rule.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Number by number, or along an axis: the shape stays.
    Same,
    Clip,
    Broadcast,
    Gemm,
    MatMul,
    BatchNormalization,
    LayerNormalization,
    Reduce,
    Concat,
    Slice,
    Reshape,
    Flatten,
    Transpose,
    Squeeze,
    Unsqueeze,
    /// Becomes a constant of the model while it is read.
    Constant,
}

/// What an attribute must be.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Int,
    Float,
    Ints,
    Floats,
    Tensor,
    /// One of these texts.
    Text(&'static [&'static str]),
    /// This number alone, which is the default.
    Only(i64),
    /// Of training.
    Ignored,
}

/// An operator: its name, how many inputs it has, its attributes, and its rule.
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// The least and the most.
    pub(super) inputs: (usize, usize),
    pub(super) attributes: &'static [(&'static str, Wanted)],
    pub(super) rule: Rule,
}

const fn operator(
    name: &'static str,
    inputs: (usize, usize),
    attributes: &'static [(&'static str, Wanted)],
    rule: Rule,
) -> Operator {
    Operator { name, inputs, attributes, rule }
}

/// Tensors that one node joins at most.
const JOINED_MAX: usize = 64;
const AXIS: &[(&str, Wanted)] = &[("axis", Wanted::Int)];
const ALPHA: &[(&str, Wanted)] = &[("alpha", Wanted::Float)];
const REDUCE: &[(&str, Wanted)] =
    &[("axes", Wanted::Ints), ("keepdims", Wanted::Int), ("noop_with_empty_axes", Wanted::Only(0))];
const GEMM: &[(&str, Wanted)] =
    &[("alpha", Wanted::Float), ("beta", Wanted::Float), ("transA", Wanted::Int), ("transB", Wanted::Int)];
const BATCH_NORMALIZATION: &[(&str, Wanted)] =
    &[("epsilon", Wanted::Float), ("momentum", Wanted::Ignored), ("training_mode", Wanted::Only(0))];
const LAYER_NORMALIZATION: &[(&str, Wanted)] =
    &[("axis", Wanted::Int), ("epsilon", Wanted::Float), ("stash_type", Wanted::Only(FLOAT))];
const CONSTANT: &[(&str, Wanted)] = &[
    ("value", Wanted::Tensor),
    ("value_float", Wanted::Float),
    ("value_floats", Wanted::Floats),
    ("value_int", Wanted::Int),
    ("value_ints", Wanted::Ints),
];

/// ONNX's number of the type of single precision.
pub(super) const FLOAT: i64 = 1;

/// Every operator, by name.
pub(super) const OPERATORS: &[Operator] = &[
    operator("Abs", (1, 1), &[], Rule::Same),
    operator("Add", (2, 2), &[], Rule::Broadcast),
    operator("BatchNormalization", (5, 5), BATCH_NORMALIZATION, Rule::BatchNormalization),
    operator("Cast", (1, 1), &[("to", Wanted::Only(FLOAT))], Rule::Same),
    operator("Clip", (1, 3), &[], Rule::Clip),
    operator("Concat", (1, JOINED_MAX), AXIS, Rule::Concat),
    operator("Constant", (0, 0), CONSTANT, Rule::Constant),
    operator("Div", (2, 2), &[], Rule::Broadcast),
    operator("Elu", (1, 1), ALPHA, Rule::Same),
    operator("Erf", (1, 1), &[], Rule::Same),
    operator("Exp", (1, 1), &[], Rule::Same),
    operator("Flatten", (1, 1), AXIS, Rule::Flatten),
    operator("Gelu", (1, 1), &[("approximate", Wanted::Text(&["none", "tanh"]))], Rule::Same),
    operator("Gemm", (2, 3), GEMM, Rule::Gemm),
    operator("Identity", (1, 1), &[], Rule::Same),
    operator("LayerNormalization", (2, 3), LAYER_NORMALIZATION, Rule::LayerNormalization),
    operator("LeakyRelu", (1, 1), ALPHA, Rule::Same),
    operator("Log", (1, 1), &[], Rule::Same),
    operator("LogSoftmax", (1, 1), AXIS, Rule::Same),
    operator("LpNormalization", (1, 1), &[("axis", Wanted::Int), ("p", Wanted::Only(2))], Rule::Same),
    operator("MatMul", (2, 2), &[], Rule::MatMul),
    operator("Mul", (2, 2), &[], Rule::Broadcast),
    operator("Neg", (1, 1), &[], Rule::Same),
    operator("Pow", (2, 2), &[], Rule::Broadcast),
    operator("ReduceL2", (1, 2), REDUCE, Rule::Reduce),
    operator("ReduceMax", (1, 2), REDUCE, Rule::Reduce),
    operator("ReduceMean", (1, 2), REDUCE, Rule::Reduce),
    operator("ReduceSum", (1, 2), REDUCE, Rule::Reduce),
    operator("Relu", (1, 1), &[], Rule::Same),
    operator("Reshape", (2, 2), &[("allowzero", Wanted::Only(0))], Rule::Reshape),
    operator("Sigmoid", (1, 1), &[], Rule::Same),
    operator("Slice", (3, 5), &[], Rule::Slice),
    operator("Softmax", (1, 1), AXIS, Rule::Same),
    operator("Softplus", (1, 1), &[], Rule::Same),
    operator("Sqrt", (1, 1), &[], Rule::Same),
    operator("Squeeze", (2, 2), &[], Rule::Squeeze),
    operator("Sub", (2, 2), &[], Rule::Broadcast),
    operator("Tanh", (1, 1), &[], Rule::Same),
    operator("Transpose", (1, 1), &[("perm", Wanted::Ints)], Rule::Transpose),
    operator("Unsqueeze", (2, 2), &[], Rule::Unsqueeze),
];

/// The operator of that name.
pub(super) fn operator_of(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// All names, for those whose operator is not among them.
pub(super) fn accepted() -> String {
    OPERATORS.iter().map(|operator| operator.name).collect::<Vec<_>>().join(", ")
}
