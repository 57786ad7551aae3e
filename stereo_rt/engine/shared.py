"""Weights that two files share: a network for another grid is its operations alone, and reads its weights out of the file of
the first. Needs onnx.

That is ONNX's own external data, so any runtime opens such a file as it does others, as long as the other one lies beside it.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from ..digest import sha256_of

LEAST = 1024
"""Bytes of a tensor below which it is not worth a reference."""
WEIGHTS_SHA256 = "weights_sha256"
"""Key of the metadata that says which version of the other file is meant."""


def share_weights(model: onnx.ModelProto, original: Path) -> int:
    """Tensors of the model whose bytes stand in the file `original` become references to them, in place; how many did that are
    not all zero.

    The model must be written into the folder of `original`, which must stay as it is. Raises OSError.
    """
    content, shared = original.read_bytes(), 0
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < LEAST or (offset := content.find(raw)) < 0:
            continue
        place = {"location": original.name, "offset": offset, "length": len(raw)}
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        shared += any(raw)  # zeros are in many a file
    model.metadata_props.add(key=WEIGHTS_SHA256, value=sha256_of(original))
    return shared
