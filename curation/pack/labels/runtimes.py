"""Runtimes of model files: ONNX and TorchScript as functions of an array, on one core, of the bytes that are given alone.

A model file is a program, and is executed. Nothing else is read for it: weights that it says lie in other files are refused.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.causes import one_line
from curation.work import extras

Run = Callable[[NDArray[np.float32]], Any]


def check(name: str, where: str) -> str:
    """The runtime of a file of that name, `onnx` or `torch`. Raises ConfigError where there is none, or none installed."""
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        extras.check("onnx", where)
        return "onnx"
    if suffix in (".pt", ".pth", ".ts"):
        return "torch"
    raise ConfigError(
        f"{where}: its name ends in {suffix or 'nothing'!r}, expected .onnx, or .pt, .pth or .ts (TorchScript)"
    )


def run_of(data: bytes, name: str, where: str) -> Run:
    """The model as a function of an array (1, …) float32. Raises ConfigError where its runtime cannot read it."""
    try:
        return _onnx(data) if check(name, where) == "onnx" else _torch(data)
    except ConfigError:
        raise
    except Exception as err:  # noqa: BLE001 - runtimes raise what their own code does
        advice = "; weights in other files are not read, whose hash nobody knows: save it as one file"
        raise ConfigError(
            f"{where}: cannot be loaded: {one_line(err)}{advice if 'External data' in str(err) else ''}"
        ) from None


_NO_FOLDER = f"{os.devnull}/none"
"""A folder that cannot be there."""


def _onnx(data: bytes) -> Run:
    import onnxruntime

    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1  # workers are as many as there are cores
    how.log_severity_level = 4
    # Else weights that the model says lie in another file are taken from the current folder, whatever they are there.
    how.add_session_config_entry("session.model_external_initializers_file_folder_path", _NO_FOLDER)
    session = onnxruntime.InferenceSession(data, how, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise ConfigError(
            f"the model takes {found}; expected one input, tensor(float), of (1, y, x, 9) or (1, 9, y, x)"
        )
    return lambda x: session.run([outputs[0].name], {inputs[0].name: x})[0]


_running = threading.Lock()
"""Held while a model of torch's runs, whose number of threads is the process's."""


def _torch(data: bytes) -> Run:
    import torch

    load: Any = torch.jit.load  # untyped, and types are checked where torch is not installed, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old: whoever has such a file has no other
        module = load(io.BytesIO(data), map_location="cpu").eval()

    def run(x: NDArray[np.float32]) -> Any:
        with _running:
            before = torch.get_num_threads()
            torch.set_num_threads(1)  # workers are as many as there are cores
            try:
                with torch.inference_mode():
                    return module(torch.from_numpy(x)).numpy()
            finally:
                torch.set_num_threads(before)  # it is the process's, which may be a program of the user's

    return run
