"""Exact disparity, depth and occlusion of a scene, from its geometry alone: nothing is read off a rendered image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...geometry import RectifiedRig
from .raster import hit_sphere, spans, visibility
from .surfaces import Surfaces, View, window_edges

BEHIND = 1e-6
"""A point is hidden when something is nearer by more than this fraction of its depth."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What is true of every pixel of a rectified left image.

    disparity_px: (H, W) float32, x_right = x_left - d. depth_m: (H, W) float32 along the optical axis.
    occluded: (H, W) bool, True where the right eye does not see the point: something is in front, or it is out of view.
    """

    disparity_px: np.ndarray
    depth_m: np.ndarray
    occluded: np.ndarray


def left_view(rig: RectifiedRig, R: np.ndarray, centre_m: np.ndarray) -> View:
    """The rectified left eye. R: (3, 3) rectified_from_world. centre_m: (3,) its place in the world."""
    K = np.array([[rig.fx_px, 0, rig.cx_px], [0, rig.fx_px, rig.cy_px], [0, 0, 1]])
    return View(rig.width, rig.height, K, R, centre_m)


def right_view(left: View, rig: RectifiedRig) -> View:
    """The rectified right eye: the left one, moved along its own x axis."""
    K = left.K.copy()
    K[0, 2] += rig.doffs_px
    return replace(left, K=K, centre_m=left.centre_m + left.R.T @ (rig.baseline_m, 0, 0))


def ground_truth(surfaces: Surfaces, left: View, rig: RectifiedRig) -> GroundTruth:
    """The truth on the grid of `left`, a view of `rig`'s left eye (left_view)."""
    seen = visibility(surfaces, left, np.float64)
    with np.errstate(divide="ignore"):
        depth_m = np.where(seen.inverse_depth > 0, 1 / seen.inverse_depth, np.nan)
    disparity_px = rig.fx_px * rig.baseline_m * seen.inverse_depth - rig.doffs_px
    x_right = np.arange(left.width) - disparity_px
    hidden = (x_right < -0.5) | (x_right > left.width - 0.5)
    hidden |= _covered(surfaces, right_view(left, rig), x_right, seen.inverse_depth)
    disparity_px[seen.inverse_depth == 0] = np.nan
    return GroundTruth(disparity_px.astype(np.float32), depth_m.astype(np.float32), hidden)


def _covered(surfaces: Surfaces, view: View, x: np.ndarray, inverse_depth: np.ndarray) -> np.ndarray:
    """(H, W) bool: whether anything in `view` is in front of the points seen there at column x (H, W) of the same row.

    Every surface is asked at the exact place, between pixels too, so that there is no sampling of a depth map.
    """
    covered = np.zeros(x.shape, bool)
    nearer_than = inverse_depth * (1 + BEHIND)
    rows = np.arange(view.height)
    planes, facing = view.planes(surfaces.faces)
    index = np.flatnonzero(facing)
    first, last = spans(window_edges(planes[index], surfaces.faces.window[index]), view.height)
    for n, k in enumerate(index):
        touched = rows[(first[n] <= last[n]) & (last[n] >= -0.5) & (first[n] <= view.width - 0.5)]
        if touched.size:
            a, b, c = planes[k, 2]
            part = slice(touched[0], touched[-1] + 1)
            there, y = x[part], rows[part, None]
            inside = (there >= first[n, part, None]) & (there <= last[n, part, None])
            covered[part] |= inside & (a * there + (b * y + c) > nearer_than[part])
    for sphere in surfaces.spheres:
        near, hit = hit_sphere(sphere, view, x, rows[:, None])
        covered |= hit & (near > nearer_than)
    return covered
