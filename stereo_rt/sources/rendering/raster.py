"""Draws surfaces as a pinhole view sees them: first what is where, then its colours.

A face's inverse depth is affine in the pixel, so visibility is a comparison of planes and exact at every pixel centre;
colours come from warping its texture by the face's homography. Pixel centres are at integers.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    inverse_depth: np.ndarray = np.zeros((view.height, view.width), dtype)
    ids = np.full((view.height, view.width), NOTHING, np.uint8)
    boxes: dict[int, Box] = {}

    planes, facing = view.planes(surfaces.faces)
    index = np.flatnonzero(facing)
    left, right = spans(window_edges(planes[index], surfaces.faces.window[index]), view.height)
    first = np.clip(np.ceil(left), 0, view.width).astype(np.int16)
    last = np.clip(np.floor(right), -1, view.width - 1).astype(np.int16)
    columns = np.arange(view.width, dtype=np.int16)
    a, b, c = planes[index, 2].T[..., None]
    along_x, along_y = (a * columns).astype(dtype), (b * np.arange(view.height) + c).astype(dtype)
    for n, box in _boxes(first, last):
        rows, across = box
        plane = along_y[n, rows, None] + along_x[n, across]
        inside = (columns[across] >= first[n, rows, None]) & (columns[across] <= last[n, rows, None])
        boxes[int(index[n])] = box
        _keep_nearest(inverse_depth, ids, box, plane, inside, int(index[n]))

    for k, sphere in enumerate(surfaces.spheres, start=len(surfaces.faces)):
        if (outline := _sphere_box(sphere, view)) is not None:
            near, hit = hit_sphere(sphere, view, *_grid(outline))
            boxes[k] = outline
            _keep_nearest(inverse_depth, ids, outline, near.astype(dtype), hit, k)
    return Visible(inverse_depth, ids, planes, boxes)


def _keep_nearest(inverse_depth: np.ndarray, ids: np.ndarray, box: Box, plane: np.ndarray, inside: np.ndarray, k: int) -> None:
    nearer = inside & (plane > inverse_depth[box])
    cv2.copyTo(plane, nearer.view(np.uint8), inverse_depth[box])
    np.copyto(ids[box], k, where=nearer)


def spans(edges: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where along x every face's edges are all >= 0, row by row: two (F, height) arrays, first > last where nowhere."""
    slope = edges[:, :, :1] + 0.0  # no negative zeros: rest / -0.0 is then -inf where a level edge is kept, else +inf
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (edges[:, :, 1:2] * np.arange(height) + edges[:, :, 2:]) / -slope
    first = np.fmax.reduce(np.where(slope >= 0, crossing, -np.inf), axis=1)
    last = np.fmin.reduce(np.where(slope < 0, crossing, np.inf), axis=1)
    return first, last


def _boxes(first: np.ndarray, last: np.ndarray) -> list[tuple[int, Box]]:
    """The part of the image that each face's columns first to last touch, for the faces that touch it at all."""
    filled = first <= last
    top, bottom = filled.argmax(axis=1), filled.shape[1] - filled[:, ::-1].argmax(axis=1)
    left = np.where(filled, first, np.iinfo(np.int16).max).min(axis=1, initial=np.iinfo(np.int16).max)
    right = np.where(filled, last, -1).max(axis=1, initial=-1) + 1
    return [
        (int(n), (slice(int(top[n]), int(bottom[n])), slice(int(left[n]), int(right[n]))))
        for n in np.flatnonzero(filled.any(axis=1))
    ]


def _grid(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates x (1, w) and y (h, 1) of a box."""
    rows, columns = box
    return np.arange(columns.start, columns.stop, dtype=float)[None, :], np.arange(rows.start, rows.stop, dtype=float)[:, None]


def _sphere_box(sphere: Sphere, view: View) -> Box | None:
    """Pixels that may show the sphere, whose outline fits between two tangents along each axis; None when it is unseen.

    Seen along one axis, the tangents from the origin to the circle (a, z), r have the slopes
    (a z ± r sqrt(a^2 + z^2 - r^2)) / (z^2 - r^2).
    """
    centre, r = view.in_camera(sphere.centre_m), sphere.radius_m
    z = centre[2]
    if z <= r:
        return None
    spread = r * np.sqrt(centre[:2] ** 2 + z * z - r * r)
    slopes = (centre[:2] * z + np.array([[-1], [1]]) * spread) / (z * z - r * r)
    pixels = slopes * view.K[[0, 1], [0, 1]] + view.K[:2, 2]
    x0, y0 = np.maximum(np.floor(pixels[0]), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(pixels[1]) + 1, (view.width, view.height)).astype(int)
    return (slice(int(y0), int(y1)), slice(int(x0), int(x1))) if x0 < x1 and y0 < y1 else None


def hit_sphere(sphere: Sphere, view: View, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth of the near side at pixels (x, y), which broadcast and need not be whole, and whether there is one.

    With d = K^-1 (x, y, 1) and centre c: |z d - c| = r is z^2 (d.d) - 2 z (d.c) + c.c - r^2 = 0, solved for 1/z.
    """
    c = view.in_camera(sphere.centre_m)
    dx, dy = (x - view.K[0, 2]) / view.K[0, 0], (y - view.K[1, 2]) / view.K[1, 1]
    along = dx * c[0] + (dy * c[1] + c[2])
    rest = c @ c - sphere.radius_m**2
    root = along * along - (dx * dx + (dy * dy + 1)) * rest
    hit = (root >= 0) & (along > 0)
    return np.where(hit, (along + np.sqrt(np.maximum(root, 0))) / rest, 0.0), hit


def texture_levels(faces: Faces, view: View) -> np.ndarray:
    """(F, 2) halvings along s and t that bring each face's texels near the size of the view's pixels.

    Chosen once for both eyes, so that they see one and the same surface.
    """
    centre = view.in_camera(faces.centre_m)
    z = np.maximum(centre[:, 2:], 0.3)
    edges = np.stack([faces.u_m, faces.v_m], axis=1) @ view.R.T
    pixels = np.linalg.norm(edges[..., :2] - (centre[:, :2] / z)[:, None] * edges[..., 2:], axis=2) * view.K[0, 0] / z
    return np.clip(np.rint(np.log2(faces.texels / np.maximum(pixels, 1e-3)) - 0.2), 0, HALVINGS).astype(int)


def shade(surfaces: Surfaces, view: View, visible: Visible, levels: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 image, BGR and padding, of what is visible; levels: (F, 2) of texture_levels."""
    image = np.zeros((view.height, view.width, 4), np.uint8)
    faces = surfaces.faces
    to_texels = _to_texels(visible.planes, faces.texels >> levels)
    for k, (rows, columns) in visible.boxes.items():
        mask = (visible.ids[rows, columns] == k).view(np.uint8)
        for shown, part in _parts(mask, rows.start, columns.start):
            if k < len(faces):
                colours = _warp(faces.textures[k].level(*levels[k]), to_texels[k], part)
                if faces.gain[k] != 1:
                    colours = cv2.convertScaleAbs(colours, alpha=float(faces.gain[k]))
            else:
                colours = _sphere_colours(surfaces.spheres[k - len(faces)], surfaces.lamp_m, view, visible, part)
            cv2.copyTo(colours, shown, image[part])
    _cast_shadows(image, surfaces, visible)
    return image


def _parts(mask: np.ndarray, row: int, column: int) -> Iterator[tuple[np.ndarray, Box]]:
    """The mask in tight pieces that are mostly full, and where they are; a slanted pole fills little of its outline.

    row, column: of the mask's first pixel.
    """
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return
    mask, row, column = mask[y : y + h, x : x + w], row + y, column + x
    if w * h < 6000 or 2 * cv2.countNonZero(mask) > w * h:
        yield mask, (slice(row, row + h), slice(column, column + w))
    elif h > w:
        yield from _parts(mask[: h // 2], row, column)
        yield from _parts(mask[h // 2 :], row + h // 2, column)
    else:
        yield from _parts(mask[:, : w // 2], row, column)
        yield from _parts(mask[:, w // 2 :], row, column + w // 2)


def _to_texels(planes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(F, 3, 3) from pixels to the texels of textures of (F, 2) sizes, one more all around, spanning (s, t) in [0, 1]."""
    s_t = planes[:, :2] * sizes[:, :, None] + 0.5 * planes[:, 2:]
    return np.concatenate([s_t, planes[:, 2:]], axis=1)


def _warp(texels: np.ndarray, to_texels: np.ndarray, part: Box) -> np.ndarray:
    """The part of the view as the texture would fill it; anything where the texture does not reach."""
    rows, columns = part
    here = to_texels.copy()
    here[:, 2] += here[:, 0] * columns.start + here[:, 1] * rows.start
    size = columns.stop - columns.start, rows.stop - rows.start
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(texels, here, size, flags=flags, borderMode=cv2.BORDER_TRANSPARENT)


def _sphere_colours(sphere: Sphere, lamp_m: np.ndarray, view: View, visible: Visible, part: Box) -> np.ndarray:
    """The texture covers each half of the ball as a disc of equal area, mirrored at the seam, so there is no pole."""
    x, y = _grid(part)
    z = 1 / np.maximum(visible.inverse_depth[part], np.float32(1e-3))
    to_lamp = lamp_m - sphere.centre_m
    # each is one component of the unit outward normal n = (z K^-1 (x, y, 1) - c) / r: along the ball's axes, to the lamp
    axes = np.vstack([sphere.R, to_lamp / np.linalg.norm(to_lamp)]) @ view.R.T / sphere.radius_m
    offset = axes @ view.in_camera(sphere.centre_m)
    a, b, c = (axes @ view.K_inverse).T
    own_x, own_y, own_z, light = (
        ((b[i] * y + c[i]).astype(np.float32) + (a[i] * x).astype(np.float32)) * z - np.float32(offset[i]) for i in range(4)
    )
    width = sphere.texture.size[0]
    pixels = 2 * sphere.radius_m * view.K[0, 0] / np.linalg.norm(sphere.centre_m - view.centre_m)
    halvings = int(np.clip(np.rint(np.log2(width / pixels)), 0, HALVINGS))
    texels = sphere.texture.level(halvings, halvings)
    spread = np.float32((width >> halvings) / 2) / np.sqrt(1 + np.abs(own_z))
    centre = np.float32((texels.shape[0] - 1) / 2)
    colours = cv2.remap(texels, own_x * spread + centre, own_y * spread + centre, cv2.INTER_LINEAR)
    return _dim(colours, np.clip(light * 80 + 52, 52, 132).astype(np.uint8), 1 / 110)


def _cast_shadows(image: np.ndarray, surfaces: Surfaces, visible: Visible) -> None:
    """Darkens the floor, whose tiles have the first surface ids, by the map of how much light reaches it."""
    boxes = [visible.boxes[k] for k in range(surfaces.floor_tiles) if k in visible.boxes]
    if not boxes:
        return
    rows, columns = ([getattr(b[axis], end) for b in boxes for end in ("start", "stop")] for axis in (0, 1))
    part = (slice(min(rows), max(rows)), slice(min(columns), max(columns)))
    inner = np.array([surfaces.floor_light.shape[::-1]]) - 2
    light = _warp(surfaces.floor_light, _to_texels(visible.planes[:1], inner)[0], part)
    light[visible.ids[part] >= surfaces.floor_tiles] = 255
    image[part] = _dim(image[part], light, 1 / 255)


def _dim(colours: np.ndarray, light: np.ndarray, scale: float) -> np.ndarray:
    """colours (H, W, 4) times light (H, W) times scale."""
    return cv2.multiply(colours, cv2.merge([light, light, light, light]), scale=scale)
