"""Draws surfaces as a pinhole view sees them: first what is where, then its colours.

A face's inverse depth is affine in the pixel, so visibility is a comparison of planes and exact at every pixel centre;
colours come from warping its texture by the face's homography. Pixel centres are at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .surfaces import Faces, Sphere, Surfaces, View, window_edges
from .textures import HALVINGS

NOTHING = 255
"""Surface id where a ray meets nothing; a scene has at most this many surfaces."""

Box = tuple[slice, slice]
"""Rows and columns of an image."""


@dataclass(frozen=True, eq=False)
class Visible:
    """inverse_depth: (H, W) 1/z in 1/m, 0 where nothing is. ids: (H, W) uint8 surface ids.

    planes: (F, 3, 3) of View.planes. boxes: by surface id, the part of the image that may show it.
    """

    inverse_depth: np.ndarray
    ids: np.ndarray
    planes: np.ndarray
    boxes: dict[int, Box]


def visibility(surfaces: Surfaces, view: View, dtype: type = np.float32) -> Visible:
    """What each pixel centre sees. dtype: of the inverse depth; float64 for ground truth."""
    inverse_depth = np.zeros((view.height, view.width), dtype)
    ids = np.full((view.height, view.width), NOTHING, np.uint8)
    boxes: dict[int, Box] = {}

    planes, facing = view.planes(surfaces.faces)
    index = np.flatnonzero(facing)
    first, last = _spans(window_edges(planes[index], surfaces.faces.window[index]), view)
    columns = np.arange(view.width, dtype=np.int16)
    for k, left, right in zip(index, first, last, strict=True):
        filled = np.flatnonzero(left <= right)
        if filled.size == 0:
            continue
        rows = slice(filled[0], filled[-1] + 1)
        across = slice(left[filled].min(), right[filled].max() + 1)
        a, b, c = planes[k, 2]
        along_y = (b * np.arange(rows.start, rows.stop) + c).astype(dtype)[:, None]
        plane = along_y + (a * np.arange(across.start, across.stop)).astype(dtype)
        inside = (columns[across] >= left[rows, None]) & (columns[across] <= right[rows, None])
        boxes[int(k)] = (rows, across)
        _keep_nearest(inverse_depth, ids, boxes[int(k)], plane, inside, int(k))

    for k, sphere in enumerate(surfaces.spheres, start=len(surfaces.faces)):
        if (box := _sphere_box(sphere, view)) is not None:
            near, hit = hit_sphere(sphere, view, *_grid(box))
            boxes[k] = box
            _keep_nearest(inverse_depth, ids, box, near.astype(dtype), hit, k)
    return Visible(inverse_depth, ids, planes, boxes)


def _keep_nearest(inverse_depth: np.ndarray, ids: np.ndarray, box: Box, plane: np.ndarray, inside: np.ndarray, k: int) -> None:
    mask = (inside & (plane > inverse_depth[box])).view(np.uint8)
    cv2.copyTo(plane, mask, inverse_depth[box])
    cv2.copyTo(np.full(plane.shape, k, np.uint8), mask, ids[box])


def _spans(edges: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """First and last column inside all edges, for every face and row: two (F, H) int16; first > last where empty."""
    y = np.arange(view.height)
    slope = edges[:, :, :1]
    rest = edges[:, :, 1:2] * y + edges[:, :, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -rest / slope
    lower = np.where(slope > 0, crossing, np.where((slope == 0) & (rest < 0), np.inf, -np.inf)).max(axis=1)
    upper = np.where(slope < 0, crossing, np.inf).min(axis=1)
    first = np.clip(np.ceil(lower), 0, view.width).astype(np.int16)
    last = np.clip(np.floor(upper), -1, view.width - 1).astype(np.int16)
    return first, last


def _grid(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates x (1, w) and y (h, 1) of a box."""
    rows, columns = box
    return np.arange(columns.start, columns.stop, dtype=float)[None, :], np.arange(rows.start, rows.stop, dtype=float)[:, None]


def _sphere_box(sphere: Sphere, view: View) -> Box | None:
    """Pixels that may show the sphere: the outline of a cube around it; None when it is behind the view or outside it."""
    corners = np.stack(np.meshgrid(*[(-1, 1)] * 3), axis=-1).reshape(-1, 3) * sphere.radius_m
    points = view.in_camera(sphere.centre_m) + corners
    if points[:, 2].min() <= 0:
        return None
    pixels = (points / points[:, 2:]) @ view.K[:2].T
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)) + 1, (view.width, view.height)).astype(int)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def hit_sphere(sphere: Sphere, view: View, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of the near side at pixels (x, y), which broadcast and need not be whole, and whether there is one.

    With d = K^-1 (x, y, 1) and centre c: |z d - c| = r is z^2 (d.d) - 2 z (d.c) + c.c - r^2 = 0, solved for 1/z.
    """
    c = view.in_camera(sphere.centre_m)
    kxx, kxy, kx = view.K_inverse[0]
    _, kyy, ky = view.K_inverse[1]
    dx, dy = kxx * x + kxy * y + kx, kyy * y + ky
    square, along = dx * dx + dy * dy + 1, dx * c[0] + dy * c[1] + c[2]
    rest = c @ c - sphere.radius_m**2
    root = along * along - square * rest
    hit = (root >= 0) & (along > 0)
    return np.where(hit, (along + np.sqrt(np.maximum(root, 0))) / rest, 0.0), hit


def texture_levels(faces: Faces, view: View) -> np.ndarray:
    """(F, 2) halvings along s and t that bring each face's texels near the size of the view's pixels.

    Chosen once for both eyes, so that they see one and the same surface.
    """
    centre = view.in_camera(faces.centre_m)
    z = np.maximum(centre[:, 2:], 0.3)
    levels = []
    for axis, edge in enumerate((faces.u_m @ view.R.T, faces.v_m @ view.R.T)):
        pixels = np.linalg.norm(edge[:, :2] - centre[:, :2] / z * edge[:, 2:], axis=1) * view.K[0, 0] / z[:, 0]
        texels = np.array([texture.size[axis] for texture in faces.textures])
        levels.append(np.clip(np.rint(np.log2(texels / np.maximum(pixels, 1e-3)) - 0.2), 0, HALVINGS))
    return np.stack(levels, axis=-1).astype(int)


def shade(surfaces: Surfaces, view: View, visible: Visible, levels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 BGR image of what is visible; levels: (F, 2) of texture_levels."""
    image = np.zeros((view.height, view.width, 3), np.uint8)
    for k, box in visible.boxes.items():
        mask = cv2.compare(visible.ids[box], k, cv2.CMP_EQ)
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            continue
        mask = mask[y : y + h, x : x + w]
        rows, columns = box[0].start + y, box[1].start + x
        part = (slice(rows, rows + h), slice(columns, columns + w))
        if k < len(surfaces.faces):
            colours = _face_colours(surfaces.faces, k, visible.planes[k], part, levels[k])
        else:
            colours = _sphere_colours(surfaces.spheres[k - len(surfaces.faces)], surfaces.lamp_m, view, visible, part)
        cv2.copyTo(colours, mask, image[part])
    for shadow in surfaces.shadows:
        _cast_shadow(image, surfaces, shadow, view, visible.ids)
    return image


def _face_colours(faces: Faces, k: int, plane: np.ndarray, part: Box, level: np.ndarray) -> np.ndarray:
    texels = faces.textures[k].level(*level)
    height, width = texels.shape[:2]
    to_texels = np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]]) @ plane @ _shift(part)
    size = part[1].stop - part[1].start, part[0].stop - part[0].start
    colours = cv2.warpPerspective(
        texels, to_texels, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return colours if faces.gain[k] == 1 else cv2.convertScaleAbs(colours, alpha=float(faces.gain[k]))


def _shift(part: Box) -> np.ndarray:
    """From pixels of the part to pixels of the image."""
    return np.array([[1.0, 0, part[1].start], [0, 1.0, part[0].start], [0, 0, 1.0]])


def _sphere_colours(sphere: Sphere, lamp_m: np.ndarray, view: View, visible: Visible, part: Box) -> np.ndarray:
    """The texture covers each half of the ball as a disc of equal area, mirrored at the seam, so there is no pole."""
    x, y = _grid(part)
    z = 1 / np.maximum(visible.inverse_depth[part], 1e-6)
    rays = np.stack(np.broadcast_arrays(x, y, 1.0), axis=-1) @ view.K_inverse.T
    outward = (rays * z[..., None] - view.in_camera(sphere.centre_m)) / sphere.radius_m @ view.R
    own = outward @ sphere.R.T
    spread = 1 / np.sqrt(1 + np.abs(own[..., 2]))
    width, height = sphere.texture.size
    pixels = 2 * sphere.radius_m * view.K[0, 0] / np.linalg.norm(sphere.centre_m - view.centre_m)
    halvings = int(np.clip(np.rint(np.log2(width / pixels)), 0, HALVINGS))
    scale = 0.5 / 2**halvings
    map_x = ((own[..., 0] * spread + 1) * width * scale - 0.5).astype(np.float32)
    map_y = ((own[..., 1] * spread + 1) * height * scale - 0.5).astype(np.float32)
    colours = cv2.remap(
        sphere.texture.level(halvings, halvings), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    to_lamp = lamp_m - sphere.centre_m
    light = 0.42 + 0.75 * np.clip(outward @ (to_lamp / np.linalg.norm(to_lamp)), 0, None)
    return np.clip(colours * light[..., None], 0, 255).astype(np.uint8)


_BLOB = cv2.GaussianBlur(cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 15, 255, -1), (0, 0), 6)


def _cast_shadow(image: np.ndarray, surfaces: Surfaces, shadow: np.ndarray, view: View, ids: np.ndarray) -> None:
    """Darkens the floor beneath a thing by a soft blob."""
    x, z, radius_x, radius_z, strength = shadow
    origin = np.array([[x - 2 * radius_x, surfaces.floor_m, z + 2 * radius_z]])
    u, v = np.array([[4 * radius_x, 0, 0]]), np.array([[0, 0, -4 * radius_z]])
    window = np.array([[0.0, 0, 1, 1]])
    planes, facing = view.planes(Faces(origin, u, v, window, (), np.ones(1)))
    first, last = _spans(window_edges(planes, window), view)
    filled = np.flatnonzero(first[0] <= last[0])
    if not facing[0] or filled.size == 0:
        return
    part = (slice(filled[0], filled[-1] + 1), slice(first[0][filled].min(), last[0][filled].max() + 1))
    on_floor = np.isin(ids[part], surfaces.floor_ids)
    to_blob = np.array([[64, 0, -0.5], [0, 64, -0.5], [0, 0, 1]]) @ planes[0] @ _shift(part)
    size = part[1].stop - part[1].start, part[0].stop - part[0].start
    blob = cv2.warpPerspective(_BLOB, to_blob, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    light = 255 - np.where(on_floor, blob * np.float32(strength), 0).astype(np.uint8)
    image[part] = cv2.multiply(image[part], cv2.merge([light, light, light]), scale=1 / 255)
