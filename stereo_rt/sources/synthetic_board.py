"""A camera that films a calibration board, held before it now here, now there: for capture without hardware, and tests.

    synthetic://board?board=chessboard:9x6:0.025&width=640&height=480&fps=30&frames=600&seed=0

option       default                 meaning
board        chessboard:9x6:0.025    the board, as --board takes it
width        640                     of one eye, px (else capture.width)
height       480                     of one eye, px (else capture.height)
fps          30                      frames a second of scene time (else capture.fps)
frames       600                     length; 0 for no end, which is the default when live=1
seed         0                       another rig, and other places
baseline_m   0.06                    distance between the eyes
fisheye      0                       1: lenses that see 120 degrees
place_s      1.6                     from one place of the board to the next; it rests for the first half
noise        2                       standard deviation of the sensor noise in grey levels
live         0                       1: a camera on the wall clock, which skips frames nobody waited for; 0: a recording

The images are raw: distorted and not rectified. The camera does not tell its calibration, since that is what is looked for;
`rig` has it.
"""

from __future__ import annotations

import time
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..calib import lens
from ..calib.boards import Board, parse_board
from ..calib.rig import CameraModel, StereoRig
from ..config import CaptureConfig
from ..errors import SourceError, StereoError
from ..frames import StereoFrame
from ..geometry import RectifiedRig
from .base import SourceStatus
from .clock import FrameClock
from .rendering.eyes import raw_rig
from .rendering.target import Pose, TargetRig
from .uri import SourceUri, option_error, show

DEFAULT_BOARD = "chessboard:9x6:0.025"
MARGIN_PX = 6


class BoardCamera:
    """A Source whose every frame is a function of its index. rig: the true geometry. The arguments are the options above."""

    calibration: StereoRig | RectifiedRig | None = None

    def __init__(
        self,
        board: Board,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        frames: int | None = None,
        seed: int = 0,
        baseline_m: float = 0.06,
        fisheye: bool = False,
        place_s: float = 1.6,
        noise: float = 2.0,
        live: bool = False,
        realtime: bool = False,
        name: str = "synthetic://board",
    ) -> None:
        self.name, self.size, self.length, self.live = name, size, frames, live
        self.fps: float | None = fps
        self.rig = fisheye_rig(size, baseline_m, seed) if fisheye else raw_rig(size, baseline_m, seed)
        self.board, self._fps, self._seed, self._place_s, self._noise = board, fps, seed, place_s, noise
        self._eyes = TargetRig(board, self.rig, (_background(size, seed), _background(size, seed + 1)))
        self._clock = FrameClock(skips=live) if live or realtime else None
        self._places: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._next, self._ended = 0, False

    @property
    def status(self) -> SourceStatus:
        return SourceStatus("ended" if self._ended else "ok")

    def read(self, timeout_s: float) -> StereoFrame | None:
        late_s = 0.0 if self._clock is None or self._ended else self._clock.wait_for(self._next / self._fps, timeout_s)
        index = self._next + int((late_s or 0.0) * self._fps)
        if self._ended or late_s is None or (self.length is not None and index >= self.length):
            self._ended = True
            return None
        self._next = index + 1
        return self.frame(index)

    def close(self) -> None:
        self._ended = True
        if self._clock is not None:
            self._clock.stop()

    def frame(self, index: int) -> StereoFrame:
        """Frame `index`, whatever was read before."""
        rng = np.random.default_rng((self._seed, 5, index))
        left, right = self._eyes.pair(*self.pose(index), noise=self._noise, rng=rng)
        return StereoFrame(left, right, index, round(index * 1e9 / self._fps), arrived_ns=time.monotonic_ns())

    def corners_px(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) for each eye: where the points of the board truly are in frame `index`."""
        return self._eyes.corners_px(*self.pose(index))

    def pose(self, index: int) -> Pose:
        """The board's pose in the left eye's frame at frame `index`."""
        number, passed = divmod(index / self._fps, self._place_s)
        (r0, t0), (r1, t1) = self._place(int(number)), self._place(int(number) + 1)
        share = max(0.0, 2 * passed / self._place_s - 1)
        share = share * share * (3 - 2 * share)
        return cv2.Rodrigues(r0 + share * (r1 - r0))[0], t0 + share * (t1 - t0)

    def _place(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(rotation vector, t_m) of the n-th place where the board is held."""
        if number not in self._places:
            self._places[number] = self._seen_by_both(number)
        return self._places[number]

    def _seen_by_both(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A place where both eyes see all of the board."""
        rng = np.random.default_rng((self._seed, 4, number))
        points = self.board.points_m
        centre, extent = (points.min(axis=0) + points.max(axis=0)) / 2, np.ptp(points[:, :2], axis=0)
        size, focal = np.array(self.size), np.diag(self.rig.left.K)[:2]
        for _ in range(200):
            distance = float((focal * extent / (rng.uniform(0.25, 0.8) * size)).max())
            ray = lens.unproject(self.rig.left, rng.uniform(0.08, 0.92, (1, 2)) * size)[0]
            turn = np.deg2rad(rng.uniform((-35, -35, -20), (35, 35, 20)))
            t = ray * distance + (self.rig.baseline_m / 2, 0, 0) - cv2.Rodrigues(turn)[0] @ centre
            seen = np.stack(self._eyes.corners_px(cv2.Rodrigues(turn)[0], t))
            if bool(((seen > MARGIN_PX) & (seen < size - MARGIN_PX)).all()):
                return turn, t
        raise SourceError(f"{self.name}: the eyes are too far apart to see the board together; choose a smaller baseline_m")


def fisheye_rig(size: tuple[int, int], baseline_m: float, seed: int) -> StereoRig:
    """A pair of wide lenses, the right one turned by up to a degree."""
    rng = np.random.default_rng((seed, 6))
    width, height = size

    def camera() -> CameraModel:
        fx, cx, cy = rng.normal((0.4 * width, width / 2, height / 2), (0.004 * width, 3, 3))
        K = np.array([[fx, 0, cx], [0, fx * rng.normal(1, 0.0006), cy], [0, 0, 1]])
        return CameraModel(width, height, K, rng.normal((0.03, -0.01, 0.004, -0.001), (0.004, 0.002, 0.001, 0.0002)), "fisheye")

    R = cv2.Rodrigues(np.deg2rad(rng.uniform(-0.9, 0.9, 3)))[0]
    T = np.array([-1, *rng.uniform(-0.012, 0.012, 2)])
    return StereoRig(camera(), camera(), R, T / np.linalg.norm(T) * baseline_m, f"fisheye {seed}")


def _background(size: tuple[int, int], seed: int) -> np.ndarray:
    """A blurred something: what lies behind a board is never even."""
    coarse = np.random.default_rng((seed, 3)).uniform(60, 160, (9, 12)).astype(np.float32)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


class Options(BaseModel):
    """What may follow synthetic://board?; None leaves the choice to the capture settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    board: str = DEFAULT_BOARD
    width: Annotated[int, Field(ge=160, le=8192)] | None = None
    height: Annotated[int, Field(ge=120, le=8192)] | None = None
    fps: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    frames: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    baseline_m: Annotated[float, Field(ge=0.01, le=0.5)] = 0.06
    fisheye: bool = False
    place_s: Annotated[float, Field(ge=0.1, le=1000)] = 1.6
    noise: Annotated[float, Field(ge=0, le=40)] = 2.0
    live: bool = False


def open_board(uri: SourceUri, capture: CaptureConfig, realtime: bool) -> BoardCamera:
    """The camera that a synthetic://board address asks for. Raises SourceError for an unknown option or value."""
    try:
        options = Options.model_validate(dict(uri.options))
    except ValidationError as e:
        raise SourceError(f"{show(uri.text)}: {option_error(e, Options)}") from None
    try:
        board = parse_board(options.board)
    except StereoError as e:
        raise SourceError(f"{show(uri.text)}: {e}") from None
    frames = (0 if options.live or capture.loop else 600) if options.frames is None else options.frames
    return BoardCamera(
        board,
        (options.width or capture.width or 640, options.height or capture.height or 480),
        options.fps or capture.fps or 30.0,
        frames or None,
        options.seed,
        options.baseline_m,
        options.fisheye,
        options.place_s,
        options.noise,
        options.live,
        realtime,
        uri.text,
    )
