"""Models that tests make, of Dynamic World's form or another: from bands to logits, a linear map of each pixel."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def written(path: Path, weights: np.ndarray, bias: np.ndarray, layout: str = "NHWC") -> Path:
    """A model file, ONNX or TorchScript by its name: `weights` (bands, classes), `bias` (classes)."""
    weights, bias = weights.astype(np.float32), bias.astype(np.float32)
    return (_onnx if path.suffix == ".onnx" else _torch)(path, weights, bias, layout)


def with_weights_in(data: bytes, where: str, is_constant: bool) -> bytes:
    """An ONNX model whose weights are those of another file; an initializer, or the constant of a node."""
    model = onnx.load_from_string(data)
    held = model.graph.initializer[0]
    lies = {"location": where, "offset": "0", "length": str(len(held.raw_data))}
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in lies.items())
    if is_constant:
        model.graph.node.insert(0, helper.make_node("Constant", [], [held.name], value=held))
        del model.graph.initializer[0]
    return model.SerializeToString()


def _onnx(path: Path, weights: np.ndarray, bias: np.ndarray, layout: str) -> Path:
    shapes = [["n", "y", "x", n] if layout == "NHWC" else ["n", n, "y", "x"] for n in weights.shape]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("bands", "logits"), shapes, strict=True)
    )
    turn, back = [0, 2, 3, 1], [0, 3, 1, 2]
    inner = [
        helper.make_node("MatMul", ["b" if layout == "NCHW" else "bands", "weights"], ["m"]),
        helper.make_node("Add", ["m", "bias"], ["a" if layout == "NCHW" else "logits"]),
    ]
    if layout == "NCHW":
        first = helper.make_node("Transpose", ["bands"], ["b"], perm=turn)
        inner = [first, *inner, helper.make_node("Transpose", ["a"], ["logits"], perm=back)]
    held = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(inner, "stand-in", [x], [y], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _torch(path: Path, weights: np.ndarray, bias: np.ndarray, layout: str) -> Path:
    import torch

    class StandIn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(*weights.shape, 1)
            self.conv.weight.data = torch.from_numpy(weights.T[:, :, None, None].copy())
            self.conv.bias.data = torch.from_numpy(bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if layout == "NCHW":
                return self.conv(x)
            return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        bands = len(weights)
        shape = (1, 48, 40, bands) if layout == "NHWC" else (1, bands, 48, 40)
        torch.jit.trace(StandIn().eval(), torch.zeros(shape)).save(str(path))
    return path
