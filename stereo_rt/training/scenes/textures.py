"""Textures: square pictures with their mip levels, made by formulas or cut from photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ConfigError
from .recipes import RECIPES, SIDE_PX, Brush

LEVELS = 6
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Textures:
    """count textures. texels: (count * all texels of one,) int32, each four uint8 (red, green, blue, nothing); of one
    texture the levels follow each other, each half as wide as the one before. mean: (count, 3) float in [0, 1].
    deviation: (count,) standard deviation of the brightness, in [0, 1]."""

    texels: Tensor
    mean: Tensor
    deviation: np.ndarray

    @property
    def count(self) -> int:
        return len(self.mean)

    def look_up(self, texture: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
        """(N, 3) colours in [0, 1] of textures (N,) int64 at u, v (N,) texels of level 0, which go on without end, mirrored at
        each edge, blended between the texels and between the levels next to level (N,)."""
        level = level.clamp(0, LEVELS - 1)
        lower = level.floor().clamp(max=LEVELS - 2)
        blend = (level - lower)[:, None]
        lower = lower.long()
        return self._bilinear(texture, u, v, lower) * (1 - blend) + self._bilinear(texture, u, v, lower + 1) * blend

    def _bilinear(self, texture: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
        side = SIDE_PX >> level
        shrunk = torch.exp2(-level.float())
        u, v = u * shrunk - 0.5, v * shrunk - 0.5
        u0, v0 = u.floor(), v.floor()
        right, down = (u - u0)[:, None], (v - v0)[:, None]
        u0, v0 = u0.long(), v0.long()
        u0, u1, v0, v1 = (mirrored(i, side) for i in (u0, u0 + 1, v0, v0 + 1))
        first = texture * TEXELS + LEVEL_AT.to(level.device).index_select(0, level)
        top, bottom = first + v0 * side, first + v1 * side

        def at(index: Tensor) -> Tensor:
            return self.texels.index_select(0, index).view(torch.uint8).view(-1, 4)[:, :3].float()

        upper = torch.lerp(at(top + u0), at(top + u1), right)
        lower = torch.lerp(at(bottom + u0), at(bottom + u1), right)
        return torch.lerp(upper, lower, down) / 255


def mirrored(index: Tensor, side: Tensor) -> Tensor:
    """Any index, int64, as one in [0, side): every other copy is turned round. A pattern so comes again after 2 * side texels,
    further than most disparities; sides are powers of 2."""
    index = index & (2 * side - 1)
    return torch.minimum(index, 2 * side - 1 - index)


SIDES = [SIDE_PX >> level for level in range(LEVELS)]
LEVEL_AT = torch.tensor([sum(s * s for s in SIDES[:level]) for level in range(LEVELS)])
TEXELS = sum(s * s for s in SIDES)


def make_textures(count: int, seed: int, device: torch.device | str = "cpu", photographs: Path | None = None) -> Textures:
    """count textures, a function of the arguments. photographs: a folder of pictures of any size, of which half of the
    textures are cut; the others (all of them without a folder) are made by formulas.

    Raises ConfigError when the folder holds no picture that can be read.
    """
    generator = torch.Generator(device).manual_seed(seed)
    cut = _photographs(photographs, count // 2, seed) if photographs else torch.zeros(0, 3, SIDE_PX, SIDE_PX)
    recipes = torch.multinomial(torch.tensor([share for _, share in RECIPES]), count - len(cut), True, generator=_cpu(seed))
    parts = [cut.to(device)]
    for recipe, (paint, _) in enumerate(RECIPES):
        n = int((recipes == recipe).sum())
        for first in range(0, n, AT_ONCE):
            parts.append(paint(Brush(min(AT_ONCE, n - first), generator)))
    return _packed(torch.cat(parts).clamp(0, 1))


def _cpu(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _packed(pictures: Tensor) -> Textures:
    """Textures of pictures (count, 3, SIDE_PX, SIDE_PX) in [0, 1]."""
    levels, level = [], pictures
    for _ in range(LEVELS):
        levels.append(level.permute(0, 2, 3, 1).flatten(1, 2))
        level = F.avg_pool2d(level, 2)
    texels = F.pad(torch.cat(levels, 1).mul(255).round().to(torch.uint8), (0, 1))
    deviation = pictures.mean(1).flatten(1).std(1).cpu().numpy()
    return Textures(texels.contiguous().view(torch.int32).flatten(), pictures.mean((2, 3)), deviation)


def _photographs(folder: Path, count: int, seed: int) -> Tensor:
    """(count, 3, SIDE_PX, SIDE_PX) random parts of the pictures in the folder, at random scales."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in PICTURES) if folder.is_dir() else []
    pictures = [p for p in (cv2.imread(str(f)) for f in files) if p is not None]
    if not pictures:
        raise ConfigError(f"{folder}: no picture ({', '.join(PICTURES)}) can be read there; name a folder of photographs")
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        picture = pictures[k % len(pictures)]
        side = max(8, round(min(picture.shape[:2]) * 0.12 * 8 ** rng.random()))
        side = min(side, *picture.shape[:2])
        y, x = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        part = cv2.resize(picture[y : y + side, x : x + side], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        parts.append(np.rot90(part[..., ::-1], rng.choice([0, 0, 1, 2, 3])))
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).float() / 255
