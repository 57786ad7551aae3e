"""Networks in torch. NAMES lists those that train, export and benchmark by the same commands."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from torch import nn

NAMES = ("student_n", "student_s", "student_m", "student_l")


def build(name: str) -> nn.Module:
    """A network of that name with fresh weights from torch's own random state. Raises ModelError for an unknown name."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(NAMES)}"
        raise ModelError(f"there is no trainable network named '{name}'; {hint}")
    from .student import SIZES, Student

    return Student(SIZES[name.removeprefix("student_")])
