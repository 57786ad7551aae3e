"""Did the cameras move against each other during a capture? Told from the order of its views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bundle import Estimate, Observations, fit_boards, linearise
from .derivatives import lens_size
from .initial import both_seen, usual_px, view_rms_px

MOVED = 0.5
"""Two poses between the eyes, one before and one after some view, leave less than this share of what one leaves."""
LEAST_RUN = 3
"""Views before and after such a change."""


@dataclass(frozen=True)
class Moved:
    """The eyes turned against each other, by turn_deg, between two views."""

    before: str
    after: str
    turn_deg: float

    @property
    def sentence(self) -> str:
        """What happened and what to do, without a full stop."""
        return (
            f"the cameras moved against each other between {self.before} and {self.after}, by about {self.turn_deg:.2g} "
            "degrees; fix them to each other firmly and capture again, or solve with the views after the change alone"
        )


def moved_between(names: Sequence[str], seen: Observations, estimate: Estimate) -> Moved | None:
    """Where in the order of the views the pose between the eyes changed; None when one pose explains them as well.

    names, seen, estimate: of all views, those left out for their fit too.
    To first order: every view pulls at the six numbers of that pose. Views far off pull with limited weight.
    """
    pairs = np.flatnonzero(both_seen(seen))
    if len(pairs) < 2 * LEAST_RUN:
        return None
    seen = seen.take(pairs)
    estimate = fit_boards(seen, estimate.take(pairs))
    residuals, shared = linearise(seen, estimate).reduced()
    own = shared[..., 2 * lens_size(estimate.model) :]
    errors = view_rms_px(seen, estimate)
    weights = 1 / (usual_px(errors) + np.nan_to_num(errors, nan=np.inf))
    transposed = np.swapaxes(own, -1, -2) * weights[:, None, None]
    normal, pull = np.nan_to_num(transposed @ own), np.nan_to_num((transposed @ residuals[..., None])[..., 0])
    total = float(np.nansum(weights * (residuals**2).sum(axis=1)))

    def explained(run: slice) -> tuple[float, np.ndarray]:
        step = -np.linalg.lstsq(normal[run].sum(axis=0), pull[run].sum(axis=0), rcond=1e-12)[0]
        return float(-step @ pull[run].sum(axis=0)), step

    one, _ = explained(slice(None))
    splits = [
        (explained(slice(at))[0] + explained(slice(at, None))[0], at) for at in range(LEAST_RUN, len(pairs) - LEAST_RUN + 1)
    ]
    two, at = max(splits)
    if total - two >= MOVED * (total - one):
        return None
    turn = explained(slice(at, None))[1][:3] - explained(slice(at))[1][:3]
    return Moved(names[pairs[at - 1]], names[pairs[at]], float(np.degrees(np.linalg.norm(turn))))
