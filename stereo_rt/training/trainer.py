"""Trainer: the loop. A run that was interrupted, in whatever way, ends with the same weights as one that was not.

That holds on one machine and device: what a step does depends on the weights, the moments and the number of the step
alone. The samples and the random state are functions of the step, and all else is in the checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from ..errors import StereoError
from .batch import Stream
from .chance import mixed_seed
from .curves import Curves
from .ema import Ema
from .folder import RunFolder
from .interrupt import Interrupt
from .judge import Judge
from .objective import Objective
from .parallel import Crew
from .recipe import Recipe
from .schedule import rate_factor


class Ended(Enum):
    """Why a run stopped."""

    DONE = "done"
    TIME = "the time is up"
    SIGNAL = "interrupted"


@dataclass(frozen=True)
class Habits:
    """What a run does along the way; nothing here changes the weights. In steps: log_every, save_every, judge_every.

    judge: scores the averaged network now and then; None does not.
    """

    log_every: int
    save_every: int
    judge: Judge | None = None
    judge_every: int = 1

    @staticmethod
    def usual(recipe: Recipe) -> Habits:
        """400 points to a curve, and a hundredth of the work at stake."""
        return Habits(max(1, recipe.steps // 400), max(1, recipe.steps // 100))


class Trainer:
    """Trains net on the stream into the folder; goes on from where the folder stands.

    net: with its first weights, on the crew's device. extra: see objective.ExtraTerm. say: told a line now and then.
    objective: a module around net as objective.Objective is, to be minimised in its place; extra is then its own business.
    Raises ModelError when the checkpoint cannot be read.
    """

    def __init__(
        self,
        net: nn.Module,
        stream: Stream,
        recipe: Recipe,
        folder: RunFolder,
        crew: Crew,
        habits: Habits | None = None,
        extra: nn.Module | None = None,
        say: Callable[[str], None] = lambda line: None,
        objective: nn.Module | None = None,
    ) -> None:
        self.recipe, self.net = recipe, net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._stream, self._folder, self._crew = stream, folder, crew
        self._habits, self._say = habits or Habits.usual(recipe), say
        objective = objective or Objective(self.net, recipe, crew.device, extra)
        self.ema = Ema(self.net, recipe.ema)
        self._optimizer = _optimizer(objective, recipe)
        self.step, self.seconds = folder.restore(objective, self.ema.net, self._optimizer, say)
        self._objective = crew.together(objective)
        self._plain = objective
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self.signum: int | None = None
        self._costs_s = 0.0  # of the latest step and the latest save, which must still fit into the time that is left

    def run(self, deadline: float = math.inf) -> Ended:
        """Train to the last step, or until time.monotonic() would pass the deadline, or a signal; and save.

        Raises StereoError when the loss is no number any more (the last good checkpoint stays), OutputError.
        """
        self._row_began = time.monotonic()
        with Interrupt() as interrupt, self._folder.held():
            curves = Curves(self._folder.path, self.step) if self._crew.leads else None
            ended = None if self.step < self.recipe.steps else Ended.DONE
            while ended is None:
                began = time.monotonic()
                self._take_step()
                late = time.monotonic() + 2 * (time.monotonic() - began) + self._costs_s > deadline
                hurried = self._crew.any(late or interrupt.signum is not None)
                if self.step >= self.recipe.steps:
                    ended = Ended.DONE
                elif hurried:
                    ended = Ended.SIGNAL if interrupt.signum is not None else Ended.TIME
                self.seconds += time.monotonic() - began
                if curves:
                    self._keep(curves, ended)
        self.signum = interrupt.signum
        return ended

    def _take_step(self) -> None:
        recipe = self.recipe
        torch.manual_seed(mixed_seed(recipe.seed, self._crew.rank, self.step))
        factor = rate_factor(self.step, recipe.steps, recipe.schedule)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.optimizer.rate * factor
        loss, terms = self._objective(self._stream.batch(self.step), self.ema.net, self.step)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, recipe.optimizer.clip)
        self._optimizer.step()
        self.ema.update(self.step)
        self.step += 1
        for name, value in ({"loss": loss.detach()} | terms | {"gradient": norm}).items():
            self._sums[name] = self._sums.get(name, 0) + value
        self._summed += 1

    def _keep(self, curves: Curves, ended: Ended | None) -> None:
        """Whatever is due after this step: a row, a score, a checkpoint."""
        habits, step = self._habits, self.step
        saves = ended is not None or step % habits.save_every == 0
        if saves or step % habits.log_every == 0:
            self._check()
        if step % habits.log_every == 0 or ended is not None:
            self._log(curves)
        if habits.judge is not None and (step % habits.judge_every == 0 or ended is Ended.DONE):
            self._score(curves, habits.judge)
        if saves:
            began = time.monotonic()
            self._folder.save(self._plain, self.ema.net, self._optimizer, step, self.seconds)
            curves.draw()
            self._costs_s = 2 * (time.monotonic() - began)

    def _check(self) -> None:
        """Losses and gradients since the last row were numbers: so the weights still are."""
        if not all(bool(torch.isfinite(self._sums[name])) for name in ("loss", "gradient") if name in self._sums):
            kept = self._folder.saved_step()
            raise StereoError(
                f"the loss is not a number any more, at about step {self.step}; the checkpoint of step {kept} in "
                f"{self._folder.path} is kept: begin another run with it and half the rate, such as --init "
                f"{self._folder.path} --set optimizer.rate={self.recipe.optimizer.rate / 2:g} --out OTHER"
            )

    def _log(self, curves: Curves) -> None:
        now = time.monotonic()
        means = {name: float(value) / self._summed for name, value in self._sums.items()}
        rate = self._summed * self.recipe.batch / max(now - self._row_began, 1e-9)
        done = {"step": self.step, "rate": self._optimizer.param_groups[0]["lr"]}
        curves.add(done | means | {"samples_per_s": rate})
        left_h = (self.recipe.steps - self.step) * self.recipe.batch / rate / 3600
        errors = [f"{name} {means[name]:.1f}" for name in ("bad1", "bad2") if name in means]
        parts = [f"loss {means['loss']:.3f}", *errors, f"{rate:.1f} samples/s", f"{left_h:.2f} h left"]
        self._say(f"step {self.step} of {self.recipe.steps}: " + ", ".join(parts))
        self._sums, self._summed, self._row_began = {}, 0, now

    def _score(self, curves: Curves, judge: Judge) -> None:
        figures = judge(self.ema.net)
        samples = self.step * self.recipe.batch
        curves.add_score({"step": self.step, "samples": samples, "minutes": self.seconds / 60} | figures)
        self._say(f"step {self.step}, {samples} samples: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))


def _optimizer(objective: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Weights of convolutions decay; biases, norms and gains do not."""
    asked = recipe.optimizer
    parameters = [p for p in objective.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": asked.decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=asked.rate, betas=(asked.beta1, asked.beta2))
