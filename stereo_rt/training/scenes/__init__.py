"""Synthetic stereo scenes with exact truth, rendered by analytic ray casting on the CPU or on a GPU; no files needed.

layout (NumPy, one scene a time: a view, things, materials, a light) -> tables (tensors) -> visibility (what each pixel
sees) -> shading (its colour) -> truth (disparity and occlusion) -> stream (a pool of scenes, crops of it, the sensor).

Lengths are in baselines, so that a depth Z has the disparity focal_px / Z. The world is the left camera's frame:
x right, y down, z forward; the right eye is at (1, 0, 0) and looks the same way.
"""

from .stream import SceneStream

__all__ = ["SceneStream"]
