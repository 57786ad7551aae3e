"""The built-in stereo camera: a rendered scene whose geometry is known exactly.

    synthetic://room?width=640&height=480&fps=30&frames=300&seed=0      a moving room
    synthetic://wall?distance_m=2                                       a flat wall, and a rig that stands still

option       default   meaning
width        640       of one eye, px (else capture.width)
height       480       of one eye, px (else capture.height)
fps          30        frames a second of scene time (else capture.fps)
frames       300       length; 0 for no end, which is the default when live=1
seed         0         another room, other things, other motion
raw          0         1: distorted, unrectified images and the full StereoRig; 0: rectified ones
baseline_m   0.12      distance between the eyes
noise        1.5       standard deviation of the sensor noise in grey levels
live         0         1: a camera on the wall clock, which skips frames nobody waited for; 0: a recording
cycle        0         N: render N frames once, then repeat them from memory; the motion closes without a seam
distance_m   2         of the wall, from the left eye to its nearest point
vertical_px  0         shifts the right rectified image down, as a poor calibration would; the truth is unaware of it
"""

from __future__ import annotations

import time
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..calib.rectify import Rectification
from ..calib.rig import StereoRig
from ..config import CaptureConfig
from ..errors import SourceError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from .base import SourceStatus
from .clock import FrameClock
from .rendering.eyes import raw_eyes, raw_rig, rectified_eyes, rectified_rig
from .rendering.raster import texture_levels
from .rendering.scene import Scene
from .rendering.surfaces import Surfaces
from .rendering.truth import GroundTruth, ground_truth, left_view
from .rendering.wall import Wall
from .uri import SourceUri, option_error, show

NOISE_MARGIN_PX = 64
MEMORY_BYTES = 2_000_000_000
WALL_M = 2.0


class SyntheticCamera:
    """A Source whose every frame is a function of its index, in any order, and whose truth can be asked for.

    size: (width, height) of one eye. frames: length, None for no end. distance_m: of the wall, None for the room.
    The other arguments are the options above.
    calibration: the RectifiedRig of the images, or the StereoRig of raw ones.
    """

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        frames: int | None = None,
        seed: int = 0,
        raw: bool = False,
        baseline_m: float = 0.12,
        noise: float = 1.5,
        live: bool = False,
        cycle: int | None = None,
        vertical_px: float = 0.0,
        realtime: bool = False,
        name: str = "synthetic://room",
        distance_m: float | None = None,
    ) -> None:
        self.name, self.size, self.length, self.live = name, size, frames, live
        self.fps: float | None = fps
        rig = raw_rig(size, baseline_m, seed) if raw else rectified_rig(size, baseline_m)
        self.calibration: StereoRig | RectifiedRig | None = rig
        self._rig, self._fps, self._cycle = rig, fps, cycle
        self._eyes = raw_eyes(rig) if isinstance(rig, StereoRig) else rectified_eyes(rig, vertical_px)
        period_s = cycle / fps if cycle else None
        self._scene = Scene(seed, period_s) if distance_m is None else Wall(distance_m, seed)
        self._noise = _Noise(size, noise, seed)
        self._clock = FrameClock(skips=live) if live or realtime else None
        self._next, self._ended = 0, False
        self._memory = tuple(_frozen(self._render(k)) for k in range(cycle or 0))

    @property
    def status(self) -> SourceStatus:
        return SourceStatus("ended" if self._ended else "ok")

    def read(self, timeout_s: float) -> StereoFrame | None:
        if self._ended or (self.length is not None and self._next >= self.length):
            self._ended = True
            return None
        late_s = 0.0 if self._clock is None else self._clock.wait_for(self._next / self._fps, timeout_s)
        index = self._next + int((late_s or 0.0) * self._fps)
        if late_s is None or (self.length is not None and index >= self.length):
            self._ended = True
            return None
        self._next = index + 1
        return self.frame(index)

    def close(self) -> None:
        self._ended = True
        if self._clock is not None:
            self._clock.stop()

    def frame(self, index: int) -> StereoFrame:
        """Frame `index`, whatever was read before. Images of a cycle are shared and not writeable."""
        left, right = self._memory[index % len(self._memory)] if self._memory else self._render(index)
        return StereoFrame(left, right, index, round(index * 1e9 / self._fps), arrived_ns=time.monotonic_ns())

    def ground_truth(self, index: int, grid: RectifiedRig | Rectification | None = None) -> GroundTruth:
        """What is true of frame `index` on the grid of a rectified left image.

        grid: a RectifiedRig at the left eye with its axes (such as the calibration scaled or cropped), or the Rectification
        of the raw rig; None for the calibration of a rectified camera. Raises ValueError for a raw camera without one.
        """
        rig, R_rect_rig = (grid.rig, grid.R_left) if isinstance(grid, Rectification) else (grid or self._rig, np.eye(3))
        if isinstance(rig, StereoRig):
            raise ValueError("a raw camera has no rectified grid of its own; pass the Rectification")
        surfaces, R, place = self._at(index)
        return ground_truth(surfaces, left_view(rig, R_rect_rig @ R, place), rig)

    def _at(self, index: int) -> tuple[Surfaces, np.ndarray, np.ndarray]:
        """What there is, and the rig's R (3, 3) rig_from_world and place (3,)."""
        t_s = (index % self._cycle if self._cycle else index) / self._fps
        return self._scene.at(t_s), *self._scene.rig_pose(t_s)

    def _render(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        surfaces, R, place = self._at(index)
        views = [eye.view(R, place) for eye in self._eyes]
        levels = texture_levels(surfaces.faces, views[0])
        pictures = (eye.picture(surfaces, view, levels) for eye, view in zip(self._eyes, views, strict=True))
        left, right = (self._noise.add(picture, index, n) for n, picture in enumerate(pictures))
        return left, right


def _frozen(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    for image in pair:
        image.flags.writeable = False
    return pair


class Options(BaseModel):
    """What may follow synthetic://room?; None leaves the choice to the capture settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Annotated[int, Field(ge=64, le=8192)] | None = None
    height: Annotated[int, Field(ge=64, le=8192)] | None = None
    fps: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    frames: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    raw: bool = False
    baseline_m: Annotated[float, Field(ge=0.01, le=0.5)] = 0.12
    noise: Annotated[float, Field(ge=0, le=40)] = 1.5
    live: bool = False
    cycle: Annotated[int, Field(ge=0)] = 0
    vertical_px: Annotated[float, Field(ge=-50, le=50)] = 0.0
    distance_m: Annotated[float, Field(ge=0.2, le=100)] | None = None


def open_synthetic(uri: SourceUri, capture: CaptureConfig, realtime: bool) -> SyntheticCamera:
    """The camera that a synthetic:// address asks for. Raises SourceError for an unknown scene, option or value."""
    if uri.paths not in (("room",), ("wall",)):
        raise SourceError(f"{show(uri.text)}: the scenes are synthetic://room, synthetic://wall and synthetic://board")
    try:
        options = Options.model_validate(dict(uri.options))
    except ValidationError as e:
        raise SourceError(f"{show(uri.text)}: {option_error(e, Options)}") from None
    wall = uri.paths == ("wall",)
    if options.distance_m is not None and not wall:
        raise SourceError(
            f"{show(uri.text)}: distance_m is of the wall; take synthetic://wall?distance_m={options.distance_m:g}"
        )
    width, height = options.width or capture.width or 640, options.height or capture.height or 480
    if options.cycle * width * height * 6 > MEMORY_BYTES:
        raise SourceError(f"{show(uri.text)}: a cycle of {options.cycle} frames takes more than 2 GB; choose a shorter one")
    frames = (0 if options.live or capture.loop else 300) if options.frames is None else options.frames
    return SyntheticCamera(
        (width, height),
        options.fps or capture.fps or 30.0,
        frames or None,
        options.seed,
        options.raw,
        options.baseline_m,
        options.noise,
        options.live,
        options.cycle or None,
        options.vertical_px,
        realtime,
        uri.text,
        (options.distance_m or WALL_M) if wall else None,
    )


class _Noise:
    """Sensor noise: one large tile of it, laid over every image at another place.

    Drawing fresh noise would take longer than the picture itself.
    """

    def __init__(self, size: tuple[int, int], sigma: float, seed: int) -> None:
        shape = size[1] + NOISE_MARGIN_PX, size[0] + NOISE_MARGIN_PX, 3
        tile = np.random.default_rng((seed, 2)).standard_normal(shape, dtype=np.float32) * sigma
        self._tile = np.clip(np.rint(tile + 128), 0, 255).astype(np.uint8)
        self._seed = seed

    def add(self, image: np.ndarray, index: int, eye: int) -> np.ndarray:
        y, x = np.random.default_rng((self._seed, 3, index, eye)).integers(0, NOISE_MARGIN_PX, 2)
        height, width = image.shape[:2]
        return cv2.addWeighted(image, 1, self._tile[y : y + height, x : x + width], 1, -128)
