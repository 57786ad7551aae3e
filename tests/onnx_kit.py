"""What a function of tensors says in an ONNX file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

Function = Callable[..., tuple[torch.Tensor, ...]]


class _Called(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.function(*inputs)


def assert_same_in_onnx(function: Function, inputs: tuple[torch.Tensor, ...], file: Path, atol: float = 1e-6) -> None:
    """Exported to `file` and run by ONNX Runtime, the function answers as it does in torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(_Called(function), inputs, str(file), opset_version=17, dynamo=False)
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    got = session.run(None, {i.name: m.numpy() for i, m in zip(session.get_inputs(), inputs, strict=True)})
    for answer, expected in zip(got, function(*inputs), strict=True):
        np.testing.assert_allclose(answer, expected.numpy(), atol=atol)
