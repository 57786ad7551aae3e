"""Ways to say how far a disparity map is to be trusted, side by side: `eval --confidence` compares them, and the loop masks
by any of them (`--confidence-from`)."""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path

from ..errors import UsageError
from .agreement import left_right
from .base import Evidence, Method, Need, learned
from .distribution import entropy, max_probability, peak_ratio
from .image import photometric, variance
from .sampling import mc_dropout, test_time_augmentation

__all__ = ["METHODS", "Evidence", "Method", "Need", "chosen", "find_method"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("learned", learned, Need.CONFIDENCE),
        Method("left_right", left_right),
        Method("max_probability", max_probability, Need.DISTRIBUTION),
        Method("entropy", entropy, Need.DISTRIBUTION),
        Method("peak_ratio", peak_ratio, Need.DISTRIBUTION),
        Method("variance", variance),
        Method("photometric", photometric),
        Method("mc_dropout", mc_dropout, Need.NETWORK),
        Method("test_time_augmentation", test_time_augmentation),
    )
}
MOST_PASSES = 1000


def find_method(text: str) -> Method:
    """A name in METHODS, 'mc_dropout:PASSES', or a FILE.onnx that `stereo-rt confidence fit` wrote.

    Raises UsageError naming the nearest method, ModelError for a file that is none.
    """
    if text.endswith(".onnx"):
        from .regressor import open_regressor

        return open_regressor(Path(text))
    name, colon, passes = text.partition(":")
    if colon and name == "mc_dropout":
        if not (passes.isdecimal() and 2 <= int(passes) <= MOST_PASSES):
            raise UsageError(f"the confidence method '{text}' has no number of passes from 2 on, such as mc_dropout:15")
        return Method(text, partial(mc_dropout, passes=int(passes)), Need.NETWORK)
    if text not in METHODS:
        near = difflib.get_close_matches(text, METHODS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(METHODS)}, or a FILE.onnx"
        raise UsageError(f"there is no confidence method named '{text}'; {hint}")
    return METHODS[text]


def chosen(names: str) -> dict[str, Method]:
    """The methods of a comma-separated list, in which 'all' stands for METHODS. Raises what find_method does."""
    found: dict[str, Method] = {}
    for text in map(str.strip, names.split(",")):
        found |= METHODS if text == "all" else {text: find_method(text)}
    return found
