"""Ways to say how far a disparity map is to be trusted, side by side. A maker's tool: it compares them for `eval`.

The loop itself uses what the matcher gives (learned); the others are here so that the comparison can be repeated.
"""

from __future__ import annotations

import difflib

from ..errors import UsageError
from .agreement import left_right
from .base import Evidence, Method, Need, learned
from .distribution import entropy, max_probability, peak_ratio
from .image import photometric, variance
from .sampling import mc_dropout, test_time_augmentation

__all__ = ["METHODS", "Evidence", "Method", "Need", "chosen"]

METHODS: dict[str, Method] = {
    "learned": Method(learned, Need.CONFIDENCE),
    "left_right": Method(left_right),
    "max_probability": Method(max_probability, Need.DISTRIBUTION),
    "entropy": Method(entropy, Need.DISTRIBUTION),
    "peak_ratio": Method(peak_ratio, Need.DISTRIBUTION),
    "variance": Method(variance),
    "photometric": Method(photometric),
    "mc_dropout": Method(mc_dropout, Need.NETWORK),
    "test_time_augmentation": Method(test_time_augmentation),
}


def chosen(names: str) -> dict[str, Method]:
    """The methods of a comma-separated list, or of 'all'. Raises UsageError naming the nearest one."""
    if names == "all":
        return METHODS
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(METHODS)}, or all"
            raise UsageError(f"there is no confidence method named '{name}'; {hint}")
    return {name: METHODS[name] for name in wanted}
