"""Monocular networks: relative inverse depth of one image, and where they come from."""

from __future__ import annotations

from .base import MonoNetwork, bgr, open_mono

__all__ = ["MonoNetwork", "bgr", "open_mono"]
