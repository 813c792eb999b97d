"""Runtimes of model files: ONNX and TorchScript as functions of an array, on one core, of the bytes that are given alone.

A model file is a program, and is executed. Nothing else is read for it: weights that it says lie in other files are refused.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError, ReadError
from curation.errors.causes import one_line
from curation.recipe.modelfiles import runtime_of
from curation.store.objects import Store

Run = Callable[[NDArray[np.float32]], Any]

TRIED = ("NHWC", "NCHW")
"""Layouts that a model is asked with."""


def run_of(data: bytes, name: str, where: str) -> Run:
    """The model as a function of an array (1, …) float32. Raises ConfigError where its runtime cannot read it."""
    try:
        return _onnx(data) if runtime_of(name, where) == "onnxruntime" else _torch(data)
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
            f"the model takes {found}; expected one input, tensor(float), of (1, y, x, bands) or (1, bands, y, x)"
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


_loading = threading.Lock()

_models: LRUCache[tuple[str, int, int, int], Run] = LRUCache(2)
"""Those that this process has loaded, by hash and by what they are asked for."""


def loaded(store: Store, key: str, sha256: str, name: str, px: int, bands: int, classes: int) -> Run:
    """The model that lies at a key, loaded once per process: from (px, px, band) to (px, px, class), both float32.

    Raises:
        DamageError: what lies there has another hash; it is not executed.
        ConfigError: it is no such model.
    """
    asked = (sha256, px, bands, classes)
    with _loading:
        run = _models.get(asked)
        if run is None:
            data = store.get(key)
            if (found := hashlib.sha256(data).hexdigest()) != sha256:
                raise DamageError(
                    f"{store.where(key)}: has sha256 {found[:12]}…, expected {sha256[:12]}…: it is not executed"
                )
            where = f"model {name}"
            run = _models[asked] = answering(run_of(data, name, where), px, bands, classes, where)
        return run


def answering(run: Run, px: int, bands: int, classes: int, where: str) -> Run:
    """The same from (px, px, band) to (px, px, class) float32, whichever layout the model has: it is asked.

    One that gives the number of a class per pixel, whole numbers without an axis of classes, gives 1 to that class.

    Raises:
        ConfigError: it answers in no such form; what it said to each is told.
    """
    said = []
    for layout in TRIED:
        shape = _laid((px, px, bands), layout)
        try:
            found = np.asarray(run(np.zeros(shape, np.float32)))
        except Exception as err:  # noqa: BLE001 - a runtime's own errors, of a layout that is not the model's
            said.append(f"{layout} {shape}: {one_line(err)}")
            continue
        if found.dtype.kind == "f" and found.shape == _laid((px, px, classes), layout):
            return functools.partial(_answer, run, layout)
        if found.dtype.kind in "iu" and found.shape in ((1, px, px), _laid((px, px, 1), layout)):
            return functools.partial(_numbers, run, layout, classes, where)
        said.append(f"{layout} {shape}: gives {found.dtype} {found.shape}")
    raise ConfigError(
        f"{where}: expected a model from (1, {px}, {px}, {bands}) to (1, {px}, {px}, {classes}), float, or both with "
        f"the second axis for the last, or to whole numbers (1, {px}, {px}); asked with {'; with '.join(said)}"
    )


def _laid(shape: tuple[int, int, int], layout: str) -> tuple[int, ...]:
    y, x, of = shape
    return (1, y, x, of) if layout == "NHWC" else (1, of, y, x)


def _asked(run: Run, layout: str, image: NDArray[np.float32]) -> NDArray[Any]:
    asked = image if layout == "NHWC" else np.ascontiguousarray(np.moveaxis(image, -1, 0))
    return np.asarray(run(asked[None]))


def _answer(run: Run, layout: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = _asked(run, layout, image)[0]
    return found if layout == "NHWC" else np.moveaxis(found, 0, -1)


def _numbers(run: Run, layout: str, classes: int, where: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    found = _asked(run, layout, image).reshape(image.shape[:2])
    if not 0 <= found.min() <= found.max() < classes:
        raise ReadError(f"{where}: gives classes {found.min()} to {found.max()}, expected 0 to {classes - 1}")
    scores: NDArray[np.float32] = (found[..., None] == np.arange(classes)).astype(np.float32)
    return scores
