"""The learning rate as a pure function of the step: warm-up, hold, half a cosine down (the shape of a 'one-cycle')."""

from __future__ import annotations

import math

from .recipe import ScheduleRecipe


def rate_factor(step: int, steps: int, schedule: ScheduleRecipe) -> float:
    """Share of the peak rate at a step in [0, steps): never 0, at most 1, and not rising after the warm-up."""
    done = step / steps
    warm = min((step + 1) / (schedule.warm_up * steps), 1.0) if schedule.warm_up else 1.0
    fall = max(done - schedule.hold_until, 0.0) / (1 - schedule.hold_until)
    return warm * (schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * fall)))
