"""Rendered boards for tests: a rig, a place to hold the board, and the pictures both eyes take of it."""

from __future__ import annotations

import cv2
import numpy as np

from stereo_rt.calib.boards import Board, parse_board
from stereo_rt.calib.rig import StereoRig
from stereo_rt.sources.rendering.eyes import raw_rig
from stereo_rt.sources.rendering.target import TargetRig
from stereo_rt.sources.synthetic_board import fisheye_rig

BOARDS = {
    "chessboard": parse_board("chessboard:9x6:0.025"),
    "square": parse_board("chessboard:7x7:0.03"),
    "charuco": parse_board("charuco:7x5:0.035"),
    "aprilgrid": parse_board("aprilgrid:5x4:0.045:0.035"),
    "circles": parse_board("circles:4x11:0.02"),
}
SIZE = (800, 600)


def rig(model: str = "pinhole", seed: int = 0) -> StereoRig:
    return fisheye_rig(SIZE, 0.05, seed) if model == "fisheye" else raw_rig(SIZE, 0.05, seed)


def held(board: Board, turn_deg: tuple[float, float, float], distance_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The pose of a board whose middle is before the rig."""
    R = cv2.Rodrigues(np.deg2rad(np.array(turn_deg, float)))[0]
    middle = (board.points_m.min(axis=0) + board.points_m.max(axis=0)) / 2
    return R, np.array([0.02, 0.0, distance_m]) - R @ middle


def filmed(board: Board, eyes: TargetRig, turn_deg: tuple[float, float, float], distance_m: float, seed: int = 0):
    """(left, right) images and (left, right) true corners."""
    R, t = held(board, turn_deg, distance_m)
    return eyes.pair(R, t, noise=2.0, rng=np.random.default_rng(seed)), eyes.corners_px(R, t)
