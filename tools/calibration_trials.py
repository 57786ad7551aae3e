"""Does the calibration know how good it is? Rendered boards before random rigs, solved, against the truth.

Every trial draws a rig and films a chessboard with it: noise, blur, and a right eye that looks a moment later while the
board moves. The rig is solved from the pictures; then each parameter should lie in its own 95 % interval, and the true
error of depth should be as large as the predicted one. Run it after a change to stereo_rt/calib:

    python tools/calibration_trials.py --rigs 50 --json trials.json
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # trials run beside each other

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stereo_rt.calib import lens as lenses
from stereo_rt.calib.boards import parse_board
from stereo_rt.calib.bundle import Estimate
from stereo_rt.calib.derivatives import LensModel, camera_of
from stereo_rt.calib.detect import Detection, detect
from stereo_rt.calib.quality import assess
from stereo_rt.calib.rig import StereoRig
from stereo_rt.calib.solve import solve
from stereo_rt.calib.uncertainty import DISTANCES_M, grid_points, inside, numbers, triangulated_m
from stereo_rt.calib.verdict import judge
from stereo_rt.calib.views import View
from stereo_rt.sources.rendering.target import TargetEye

BOARD = parse_board("chessboard:9x6:0.03")
SIZE = (640, 480)
NOISE, BLUR_PX = 3.0, (0.5, 1.2)
LATE_S, SPEED_M_S, TURN_DEG_S = 0.008, 0.03, 4.0
"""How much later the right eye looks, and how fast the board moves and turns meanwhile (standard deviations)."""
CORNER_NOISE_PX = 0.1
MARGIN_PX = 6


def random_rig(rng: np.random.Generator, model: LensModel) -> Estimate:
    """The truth, as the solver has it."""
    width = SIZE[0]
    if model == "fisheye":
        focal, spread = rng.uniform(0.45, 0.6) * width, [0.01, 0.004, 0.002, 0.0005]
    else:
        focal, spread = rng.uniform(0.75, 1.1) * width, [0.1, 0.05, 0.001, 0.001, 0.01]
    middle = (np.array(SIZE) - 1) / 2
    eyes = [
        np.concatenate([focal * rng.normal(1, 0.01, 2), middle + rng.normal(0, 8, 2), rng.normal(0, spread)]) for _ in range(2)
    ]
    R = cv2.Rodrigues(rng.normal(0, 0.02, 3))[0]
    T = np.array([-rng.uniform(0.06, 0.2), *rng.normal(0, 0.002, 2)])
    return Estimate(model, np.stack(eyes), R, T, np.empty((0, 3, 3)), np.empty((0, 3)))


def film(truth: Estimate, rng: np.random.Generator, count: int, *, rendered: bool = True) -> list[View]:
    """Views of a board held anywhere that both eyes see it whole.

    rendered: corners are detected in pictures; otherwise they are projected, with noise of about the same size.
    """
    cameras = [camera_of(truth.model, lens, SIZE) for lens in truth.lenses]
    eyes = [TargetEye(BOARD, camera) for camera in cameras] if rendered else []
    points = BOARD.points_m
    middle = points.mean(axis=0)
    blur = rng.uniform(*BLUR_PX)
    views: list[View] = []
    while len(views) < count:
        ray = lenses.unproject(cameras[0], rng.uniform((0, 0), SIZE)[None])[0]
        near = 0.35 * cameras[0].K[0, 0] / SIZE[0]
        R = cv2.Rodrigues(rng.uniform(-0.6, 0.6, 3) * (1, 1, 0.5))[0]
        t = ray * rng.uniform(near, 3 * near) - R @ middle
        moved = LATE_S * rng.normal(0, SPEED_M_S, 3)
        turned = cv2.Rodrigues(np.radians(LATE_S * rng.normal(0, TURN_DEG_S, 3)))[0]
        R_late, t_late = turned @ R, t + R @ middle - turned @ R @ middle + moved
        poses = (R, t), (truth.R @ R_late, truth.R @ t_late + truth.T)
        corners = [lenses.project(c, points @ Q.T + s) for c, (Q, s) in zip(cameras, poses, strict=True)]
        if not all(((c > MARGIN_PX) & (c < np.array(SIZE) - 1 - MARGIN_PX)).all() for c in corners):
            continue
        if rendered:
            pictures = [eye.picture(*pose, blur_px=blur, noise=NOISE, rng=rng) for eye, pose in zip(eyes, poses, strict=True)]
            found = [detect(BOARD, picture) for picture in pictures]
        else:
            found = [_seen(c + rng.normal(0, CORNER_NOISE_PX, c.shape)) for c in corners]
        views.append(View(f"{len(views):03d}", *found))
    return views


def _seen(corners: np.ndarray) -> Detection | None:
    return Detection(np.arange(len(corners)), corners, SIZE, sharpness=0.4)


def depth_truth_pct(truth: StereoRig, solved: StereoRig) -> list[float]:
    """Root mean square error of depth over the image, in %, that the solved rig makes at each of DISTANCES_M."""
    points = grid_points(truth, DISTANCES_M)
    flat = points.reshape(-1, 3)
    left = lenses.project(truth.left, flat)
    right = lenses.project(truth.right, flat @ truth.R_right_left.T + truth.T_right_left_m.T)
    both = inside(left, truth.left.size) & inside(right, truth.right.size)
    depth = np.repeat(DISTANCES_M, points.shape[1])
    error = np.where(both, triangulated_m(solved, left, right) / depth - 1, np.nan).reshape(len(DISTANCES_M), -1)
    return [float(100 * np.sqrt(np.nanmean(row**2))) for row in error]


def trial(seed: int, model: LensModel, count: int, *, rendered: bool = True) -> dict[str, Any]:
    """One rig, filmed and solved."""
    rng = np.random.default_rng(seed)
    truth = random_rig(rng, model)
    views = film(truth, rng, count, rendered=rendered)
    solution = solve(BOARD, views, model)
    quality = assess(solution, views)
    true = numbers(truth)
    cameras = [camera_of(model, lens, SIZE) for lens in truth.lenses]
    return {
        "seed": seed,
        "model": model,
        "verdict": judge(quality).grade,
        "stereo_rms_px": quality.stereo_rms_px,
        "rejected": len(solution.rejected),
        "inside": {
            p.name: bool(p.interval95[0] <= v <= p.interval95[1]) for p, v in zip(quality.parameters, true, strict=True)
        },
        "true_pct": depth_truth_pct(StereoRig(*cameras, truth.R, truth.T), solution.rig),
        "predicted_pct": [d.pct for d in quality.depth],
    }


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all rigs of a model: the share inside its interval, of each parameter; the root mean square errors of depth."""
    within = np.array([list(t["inside"].values()) for t in trials])
    true, predicted = (np.sqrt(np.mean(np.square([t[key] for t in trials]), axis=0)) for key in ("true_pct", "predicted_pct"))
    each = np.array([t["true_pct"] for t in trials]) / np.array([t["predicted_pct"] for t in trials])
    return {
        "rigs": len(trials),
        "stereo_rms_px": float(np.median([t["stereo_rms_px"] for t in trials])),
        "inside_interval": dict(zip(trials[0]["inside"], within.mean(axis=0).tolist(), strict=True)),
        "inside_interval_mean": float(within.mean()),
        "true_depth_error_pct": true.tolist(),
        "predicted_depth_error_pct": predicted.tolist(),
        "true_over_predicted": (true / predicted).tolist(),
        "true_over_predicted_median": np.median(each, axis=0).tolist(),
        "verdicts": {grade: sum(t["verdict"] == grade for t in trials) for grade in ("good", "improve", "redo")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rigs", type=int, default=50, help="of each lens model")
    parser.add_argument("--views", type=int, default=25)
    parser.add_argument("--models", nargs="+", default=["pinhole", "fisheye"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {}
    with ProcessPoolExecutor() as pool:
        for model in args.models:
            trials = []
            for found in pool.map(trial, range(args.rigs), [model] * args.rigs, [args.views] * args.rigs):
                trials.append(found)
                print(f"{model} {len(trials)}/{args.rigs}", end="\r", flush=True)
            result[model] = summary(trials)
            print(f"{model}: {json.dumps(result[model], indent=1)}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
