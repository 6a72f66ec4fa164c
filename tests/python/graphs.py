"""ONNX files of small networks, made with the onnx package as anyone's exporter makes them."""

import onnx
from onnx import TensorProto, helper, numpy_helper

#: The operators' version in the files.
OPSET = 18


def model(nodes, constants, inputs, output, outputs, *, opset=OPSET, batch="N"):
    """A file with one input `features`, [N, inputs], and one output. `constants`: arrays by name."""
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    given = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, inputs])]
    computed = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, outputs])]
    graph = helper.make_graph(nodes, "head", given, computed, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def perceptron(scaling, first, second, output):
    """(features - mean) * factor, a layer with ReLU, and a layer. Layers are weights [outputs, inputs] and biases."""
    (mean, factor), (weight1, bias1), (weight2, bias2) = scaling, first, second
    constants = {"mean": mean, "factor": factor, "w1": weight1, "b1": bias1, "w2": weight2, "b2": bias2}
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "factor"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w1", "b1"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], [output], transB=1),
    ]
    constants = {name: array.astype("<f4") for name, array in constants.items()}
    made = model(nodes, constants, weight1.shape[1], output, len(bias2))
    onnx.checker.check_model(made)
    return made.SerializeToString()
