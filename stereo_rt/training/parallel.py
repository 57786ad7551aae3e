"""One training over several processes: what torchrun starts, torch's DistributedDataParallel keeps together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..devices import choose_device

PATIENCE = timedelta(hours=2)
"""The others wait so long for the first, which alone evaluates and writes."""


@dataclass(frozen=True)
class Crew:
    """size processes, each with its own rank and device; rank 0 writes. A process on its own is a crew of one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def together(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the crew, and begun with the weights of rank 0."""
        return module if self.size == 1 else DistributedDataParallel(module)

    def any(self, flag: bool) -> bool:
        """Whether anybody says so: all must ask."""
        if self.size == 1:
            return flag
        said = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)


@contextmanager
def crew(device: str) -> Iterator[Crew]:
    """The processes that torchrun started, or this one alone. device: as in --device. Raises ModelError."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Crew(choose_device(device))
        return
    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Crew(chosen, dist.get_rank(), size)
        # Gloo's threads must have let go of the last tensors before the interpreter ends, or they take it down.
        dist.barrier()
    finally:
        dist.destroy_process_group()
