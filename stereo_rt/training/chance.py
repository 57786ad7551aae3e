"""Random numbers that depend on nothing but the numbers they are named by, such as (seed, step)."""

from __future__ import annotations

import numpy as np
import torch


def mixed_seed(*names: int) -> int:
    """One seed for these numbers in [0, 2**32). torch's CPU generator takes only the low 32 bits of a seed, so plain
    arithmetic on them would make different seeds alike."""
    return int(np.random.SeedSequence(names).generate_state(1)[0])


def generator(*names: int) -> torch.Generator:
    """A fresh generator on the CPU."""
    return torch.Generator().manual_seed(mixed_seed(*names))
