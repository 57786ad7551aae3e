"""A recipe: everything that the weights of a network depend on. Shipped ones lie in configs/train and configs/pretrain."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from .. import paths
from ..config import Fraction, Section, Size, read_tree, resolved
from ..errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class OptimizerRecipe(Section):
    """AdamW. rate: the peak of the learning rate. decay: of the weights of convolutions, of nothing else.

    clip: largest norm of the gradient.
    """

    rate: Positive = 1.5e-3
    decay: Weight = 1e-2
    beta1: Share = 0.9
    beta2: Share = 0.99
    clip: Positive = 4.0


class ScheduleRecipe(Section):
    """Of the learning rate, in shares of the steps: it rises until warm_up, holds, and falls from hold_until to the end,
    where the share `floor` of its peak is left."""

    warm_up: Fraction = 0.06
    hold_until: Share = 0.3
    floor: Fraction = 0.005


class LossRecipe(Section):
    """What each term counts; see losses.py.

    regression: how the distance of a disparity map from the truth is measured. full, full_late: the map at full size,
    before and after the share late_from of the steps, where smooth_l1 is also sharper. coarse: each earlier map.
    distribution: the first distribution of the network; matching: those of correlations alone; coarser: all others.
    confidence: its cross-entropy. occluded: weight of a pixel that only the left eye sees.
    """

    regression: Literal["smooth_l1", "l1", "mse", "ssim", "l1_ssim", "mse_ssim"] = "smooth_l1"
    full: Weight = 0.5
    full_late: Weight = 2.0
    late_from: Fraction = 0.7
    coarse: Weight = 0.2
    distribution: Weight = 1.0
    coarser: Weight = 0.4
    matching: Weight = 0.25
    confidence: Weight = 0.2
    occluded: Fraction = 0.5


class SceneRecipe(Section):
    """Drawn scenes: how many are held, how many of them are new each step (0.25: one every fourth; 0: always the same), and
    photographs for their surfaces. scales: how much smaller to larger crops are shown than drawn, but for the share
    `unscaled` of them. enlarged: share of the pairs that are enlarged after the cameras, as frames are for a finer grid."""

    pool: Count = 256
    fresh: Weight = 1.0
    scales: tuple[Positive, Positive] = (0.75, 1.4)
    unscaled: Fraction = 0.4
    enlarged: Fraction = 0.0
    max_disparity_px: Annotated[float, Field(ge=16)] = 192.0
    textures: Path | None = None

    @model_validator(mode="after")
    def _pool_holds_the_fresh(self) -> SceneRecipe:
        if self.fresh > self.pool:
            raise ValueError(f"the pool of {self.pool} cannot hold {self.fresh:g} fresh scenes")
        if self.scales[0] > self.scales[1]:
            raise ValueError(f"scales go from the smallest to the largest, not from {self.scales[0]:g} to {self.scales[1]:g}")
        return self


class DataRecipe(Section):
    """Pairs with known disparity, beside the drawn scenes. folders: FOLDER or LAYOUT:FOLDER, see datasets.

    share: of the steps that take a batch from them, the folders by turns.
    """

    folders: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, le=1)] = 0.5


class DistillRecipe(Section):
    """What is learned from a teacher's labels beside all else; see distillation.py.

    labels: FOLDER or LAYOUT:FOLDER, as in data.folders. batch: labelled pairs a step, over all processes. teacher: one of
    our own networks (a name, .onnx, .safetensors or a run's folder) to be asked for more than its labels; None does not.
    disparity, distribution, features, ema: what each term counts.
    """

    labels: tuple[str, ...]
    batch: Count = 2
    teacher: str | None = None
    disparity: Weight = 0.5
    distribution: Weight = 1.0
    features: Weight = 0.5
    ema: Weight = 0.5


class PretrainRecipe(Section):
    """What is hidden of the left images, to be rebuilt; see pretrain/puzzle.py. No disparities are asked for then.

    ratio: share of the patches, of patch_px pixels a side, that are hidden. normalised: each patch is rebuilt in units of
    its own contrast. left_only: without the right image, to compare with.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.9
    patch_px: Annotated[int, Field(ge=2)] = 16
    normalised: bool = True
    left_only: bool = False


class Recipe(Section):
    """network: a name of nets.NAMES. batch: pairs a step, over all processes. size: of the crops. ema: see ema.py.

    init: weights to begin with (an .onnx file of ours, a .safetensors file, a run's folder); None begins at random.
    precision: of the passes through the network; auto takes bf16 where the hardware has it.
    """

    network: str
    steps: Count
    batch: Count
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    size: Size = (512, 256)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    ema: Share = 0.998
    init: Path | None = None
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    loss: LossRecipe = LossRecipe()
    scenes: SceneRecipe = SceneRecipe()
    data: DataRecipe = DataRecipe()
    distill: DistillRecipe | None = None
    pretrain: PretrainRecipe | None = None


def load_recipe(
    name: str, assignments: Iterable[str] = (), flags: Mapping[str, Any] | None = None, command: str = "train"
) -> Recipe:
    """A shipped recipe of the command (train, pretrain) by its name, or a FILE.yaml, with settings replaced as in
    config.load. Raises ConfigError, FlagError."""
    listing = f"there are {', '.join(Recipe.model_fields)}; see the files in {_folder(command)}"
    return resolved(Recipe, lambda: read_tree(_find(name, command)), assignments, flags, listing)


def shipped_recipes(command: str = "train") -> list[str]:
    return sorted(file.stem for file in _folder(command).glob("*.yaml"))


def to_yaml(recipe: Recipe) -> str:
    """load_recipe of a file of this text is the recipe again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def differences(one: Recipe, other: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """(setting, value in one, value in the other), as plain values, where they differ."""
    left, right = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    names = dict.fromkeys([*left, *right])  # a section that only one of them has is None in the other
    return ((name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _folder(command: str) -> Path:
    return paths.configs() / command


def _find(name: str, command: str) -> Path:
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    known = shipped_recipes(command)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}; or give a file: my_recipe.yaml"
        raise ConfigError(f"there is no recipe named '{name}'; {hint}")
    return _folder(command) / f"{name}.yaml"
