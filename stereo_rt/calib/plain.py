"""Plain NumPy twins of what the Rectifier does with OpenCV: slow, short, and compared with it in tests."""

from __future__ import annotations

import numpy as np

from ..geometry import RectifiedRig
from . import lens
from .rig import CameraModel


def source_pixels(camera: CameraModel, R_rect_cam: np.ndarray, rig: RectifiedRig) -> np.ndarray:
    """(H, W, 2) where in the raw image each pixel of the rectified grid lies; x_rect = R_rect_cam @ x_cam."""
    u, v = np.meshgrid(np.arange(rig.width), np.arange(rig.height))
    rays = np.stack([(u - rig.cx_px) / rig.fx_px, (v - rig.cy_px) / rig.fx_px, np.ones(u.shape)], axis=-1)
    return lens.project(camera, rays @ R_rect_cam)


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear values of image (H, W) or (H, W, C) at pixels (h, w, 2), black outside; float64."""
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1)) + ((0, 0),) * (image.ndim - 2))
    x = np.nan_to_num(np.clip(pixels[..., 0], -1, width), nan=-1.0) + 1
    y = np.nan_to_num(np.clip(pixels[..., 1], -1, height), nan=-1.0) + 1
    x0, y0 = np.minimum(x.astype(int), width), np.minimum(y.astype(int), height)
    fx, fy = (x - x0, y - y0) if image.ndim == 2 else ((x - x0)[..., None], (y - y0)[..., None])
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    bottom = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy
