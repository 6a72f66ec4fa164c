//! Why an ONNX graph cannot be the layers of a head.

/// The first operator set that is read: from it on, axes and bounds are where they still are.
pub(super) const OPSET_MIN: i64 = 13;
/// The last one that is read.
pub(super) const OPSET_MAX: i64 = 24;
#[cfg(feature = "onnx")]
/// Characters of a name in the file, and of the runtime's words, that an error repeats.
const SHOWN_MAX: usize = 200;

/// Why an ONNX graph cannot be the layers of a head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No protobuf, or cut short.
    #[error("it is not sound protobuf of an ONNX model: {reason}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// Something that no head needs.
    #[error(
        "its {place} has field {field} of the ONNX format, which is not read; refused are functions, sub-graphs, sparse and \
         quantised tensors, and tensors in other files"
    )]
    Field {
        /// The kind of message.
        place: &'static str,
        /// The field's number.
        field: u32,
    },
    /// Too much of something.
    #[error("it has {found} {what}; at most {most} are accepted")]
    Bound {
        /// What is counted.
        what: &'static str,
        /// How many there are at least.
        found: u64,
        /// How many may be there.
        most: u64,
    },
    /// Written for operators of another time.
    #[error("it is written for operator set {found}; {OPSET_MIN} to {OPSET_MAX} are read")]
    OperatorSet {
        /// The set's version; 0 where none is named.
        found: i64,
    },
    /// An operator that is not on the list.
    #[error("its node {node} is of the operator {operator}; accepted are {accepted}")]
    Operator {
        /// The node's name.
        node: String,
        /// The operator, with its domain if that is not ONNX's own.
        operator: String,
        /// Every operator that is accepted.
        accepted: String,
    },
    /// A node that contradicts its operator.
    #[error("its node {node} ({operator}): {fault}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator.
        operator: &'static str,
        /// What is wrong and what would be right.
        fault: String,
    },
    /// An unsound tensor in the file.
    #[error("its constant {name}: {fault}")]
    Constant {
        /// The constant's name.
        name: String,
        /// What is wrong and what would be right.
        fault: String,
    },
    /// Another output than the head's.
    #[error("its output is {found}; wanted is {wanted}, and no other")]
    Output {
        /// The name that the kind of head asks for.
        wanted: String,
        /// The name in the file.
        found: String,
    },
    /// Inputs, outputs or names that do not fit the head or each other.
    #[error("{fault}")]
    Interface {
        /// What is wrong and what would be right.
        fault: String,
    },
    /// The runtime cannot compute it.
    #[error("the runtime cannot compute it: {reason}")]
    Runtime {
        /// The runtime's words.
        reason: String,
    },
    /// The program has no runtime.
    #[error("this program is built without the feature onnx")]
    NotBuilt,
}

/// A text of the file as an error repeats it.
#[cfg(feature = "onnx")]
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_MAX).collect::<String>())
}

/// What the runtime says, cut to a bearable length.
#[cfg(feature = "onnx")]
pub(super) fn runtime_fault(reason: &str) -> GraphError {
    GraphError::Runtime { reason: reason.chars().take(SHOWN_MAX).collect() }
}
