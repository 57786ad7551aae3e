"""Networks in torch. NAMES lists those that train, export and benchmark by the same commands."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from .mono_unet import MonoUNet
    from .network import Network
    from .student import Student

STUDENTS = ("student_n", "student_s", "student_m", "student_l")
OTHERS = {
    "stereo_unet": "StereoUNet",
    "mobile_stereonet": "MobileStereoNet",
    "hybrid_attention": "HybridAttentionNet",
    "rt_igev": "RtIgev",
    "swin_cross": "SwinCross",
}
"""Name, which is its module's as well, and class."""
MONO = {"mono_unet": "MonoUNet"}
"""The same of networks that look at the left image alone; they say what is nearer than what, and no disparities."""
NAMES = (*STUDENTS, *OTHERS, *MONO)


def build(name: str) -> Student | Network | MonoUNet:
    """A network of that name with fresh weights from torch's own random state. Raises ModelError for an unknown name."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(NAMES)}"
        raise ModelError(f"there is no trainable network named '{name}'; {hint}")
    if kind := (OTHERS | MONO).get(name):
        return getattr(import_module(f".{name}", __name__), kind)()
    from .student import SIZES, Student

    return Student(SIZES[name.removeprefix("student_")])
