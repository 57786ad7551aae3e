"""The samples that a recipe asks for."""

from __future__ import annotations

from ..datasets import open_dataset
from ..errors import ConfigError
from .batch import Stream
from .chance import mixed_seed
from .crops import Zoom
from .dataset_stream import DatasetStream
from .mixture import MixedStream
from .parallel import Crew
from .recipe import Recipe
from .scenes import SceneStream


def build_stream(recipe: Recipe, crew: Crew) -> Stream:
    """Drawn scenes, and crops of the recipe's folders by turns with them; each process draws its own part of a batch.

    Raises ConfigError, SourceError, UsageError.
    """
    if recipe.batch % crew.size:
        raise ConfigError(
            f"a batch of {recipe.batch} cannot be shared by {crew.size} processes; choose one that can with --batch"
        )
    size, batch, limit = recipe.size, recipe.batch // crew.size, recipe.scenes.max_disparity_px
    streams: list[Stream] = []
    weights: list[float] = []
    if not recipe.data.folders or recipe.data.share < 1:
        scenes = recipe.scenes
        seed = mixed_seed(recipe.seed, crew.rank)
        zoom = Zoom(*scenes.scales, scenes.unscaled, scenes.enlarged)
        streams.append(SceneStream(size, batch, seed, crew.device, scenes.pool, scenes.fresh, scenes.textures, limit, zoom))
        weights.append(1 - recipe.data.share if recipe.data.folders else 1.0)
    for i, folder in enumerate(recipe.data.folders):
        seed = mixed_seed(recipe.seed, crew.rank, i + 1)
        streams.append(DatasetStream(open_dataset(folder), size, batch, seed, crew.device, max_disparity_px=limit))
        weights.append(recipe.data.share / len(recipe.data.folders))
    return streams[0] if len(streams) == 1 else MixedStream(streams, weights)
