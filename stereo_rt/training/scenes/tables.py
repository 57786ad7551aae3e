"""Tables: the layouts of some scenes as tensors on one device, one column a thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .layout import Layout, rectangles


@dataclass(frozen=True, eq=False)
class Tables:
    """M things of B scenes.

    width, height: of the images. focal_px, centre_px: (B,) and (2, B).
    scene, kind: (M,) int64. rays: (9, M), the direction in the thing's own coordinates (where it fills [-1, 1]^3) of the
    ray of pixel (x, y) is rays[0:3] x + rays[3:6] y + rays[6:9], one unit of depth long. origins: (2, 3, M) of both eyes
    there. local_from_world: (9, M) its rows. half: (3, M). shape: (SHAPE_VALUES, M). rectangles: (2, 4, M) int64, see
    layout.rectangles. looks: {name: (M,) or (M, n)}, the fields of Materials. lamp, ambient, dapple and so on: the
    fields of Light, (B, 3) or (B,).
    """

    width: int
    height: int
    focal_px: Tensor
    centre_px: Tensor
    scene: Tensor
    kind: Tensor
    rays: Tensor
    origins: Tensor
    local_from_world: Tensor
    half: Tensor
    shape: Tensor
    rectangles: Tensor
    looks: dict[str, Tensor]
    light: dict[str, Tensor]

    @property
    def scenes(self) -> int:
        return len(self.focal_px)

    @property
    def pixels(self) -> int:
        return self.scenes * self.height * self.width


def tabulate(layouts: Sequence[Layout], device: torch.device | str) -> Tables:
    """The tables of layouts whose views have one size."""
    columns = [_rows(layout) for layout in layouts]
    stacked = {name: np.concatenate([c[name] for c in columns], axis=-1) for name in columns[0]}
    kind = np.concatenate([layout.things.kind for layout in layouts])
    scene = np.repeat(np.arange(len(layouts)), [len(layout.things.kind) for layout in layouts])
    views = [layout.view for layout in layouts]

    def tensor(values: np.ndarray) -> Tensor:
        exact = np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64
        return torch.from_numpy(np.ascontiguousarray(values, exact)).to(device)

    return Tables(
        views[0].width,
        views[0].height,
        tensor(np.array([v.focal_px for v in views])),
        tensor(np.array([[v.cx_px for v in views], [v.cy_px for v in views]])),
        tensor(scene),
        tensor(kind.astype(int)),
        **{name: tensor(values) for name, values in stacked.items()},
        looks={
            name: tensor(np.concatenate([getattr(layout.materials, name) for layout in layouts]))
            for name in layouts[0].materials.__dataclass_fields__
        },
        light={
            name: tensor(np.stack([np.asarray(getattr(layout.light, name)) for layout in layouts]))
            for name in layouts[0].light.__dataclass_fields__
        },
    )


def _rows(layout: Layout) -> dict[str, np.ndarray]:
    """The geometric columns of one scene, computed in float64."""
    things, view = layout.things, layout.view
    n = len(things.kind)
    local = things.rotation.transpose(0, 2, 1) / things.half[:, :, None]
    rays = local @ np.array(
        [[1 / view.focal_px, 0, -view.cx_px / view.focal_px], [0, 1 / view.focal_px, -view.cy_px / view.focal_px], [0, 0, 1]]
    )
    origins = [(local @ ([eye, 0, 0] - things.centre)[:, :, None])[..., 0].T for eye in (0, 1)]
    return {
        "rays": rays.transpose(2, 1, 0).reshape(9, n),
        "origins": np.stack(origins),
        "local_from_world": local.transpose(1, 2, 0).reshape(9, n),
        "half": things.half.T,
        "shape": things.shape.T,
        "rectangles": np.stack([rectangles(things, view, eye).T for eye in (0, 1)]),
    }
