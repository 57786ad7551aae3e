"""Pixels to a network's input and its outputs back to maps: shared by every backend that runs a network."""

from __future__ import annotations

import cv2
import numpy as np


def fill_input(image: np.ndarray, out: np.ndarray) -> None:
    """(H, W, 3) uint8 BGR or (H, W) grey -> RGB in [0, 1], written into out (1, 3, H, W) float32."""
    planes = cv2.split(image)[::-1] if image.ndim == 3 else [image] * 3
    for plane, target in zip(planes, out[0], strict=True):
        np.multiply(plane, 1 / 255, out=target, dtype=np.float32)


def fill_input_numpy(image: np.ndarray, out: np.ndarray) -> None:
    """Plain twin of fill_input."""
    rgb = image[..., ::-1] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    out[0] = rgb.transpose(2, 0, 1) / 255


def clean_outputs(disparity_px: np.ndarray, confidence: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A network's (H, W) outputs, made to hold what the rest relies on; in place.

    Disparity that is not finite becomes NaN with confidence 0, and confidence is clipped to [0, 1]. A network without
    confidence gets 1 where the match lies inside the right image and 0 where it cannot have been seen.
    """
    if confidence is None:
        confidence = (disparity_px <= np.arange(disparity_px.shape[1])).astype(np.float32)
    else:
        np.clip(confidence, 0, 1, out=confidence)
    lost = ~(np.isfinite(disparity_px) & np.isfinite(confidence))
    if lost.any():
        disparity_px[lost], confidence[lost] = np.nan, 0
    return disparity_px, confidence
