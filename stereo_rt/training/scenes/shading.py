"""Shading: the colour that a ray sees where it meets a thing."""

from __future__ import annotations

import torch
from torch import Tensor

from .shapes import dot, main_axis, normals, unit
from .tables import Tables
from .textures import Textures
from .visibility import ON_CPU, ON_GPU, Hits, Samples

SOFT_LEVEL = 2.0  # of the texture that throws shade
MIRROR_TEXELS = 160.0  # of the surroundings, a radian


def colours(tables: Tables, textures: Textures, samples: Samples, hits: Hits) -> Tensor:
    """(N, 3) linear colours in [0, 1] of N samples that all met something."""
    at_once = ON_CPU if hits.depth.device.type == "cpu" else ON_GPU
    parts = torch.arange(len(hits.depth), device=hits.depth.device).split(at_once)
    return torch.cat([_colours(tables, textures, samples.take(part), hits.take(part)) for part in parts])


def _colours(tables: Tables, textures: Textures, samples: Samples, hits: Hits) -> Tensor:
    scene, thing, depth = samples.scene, hits.thing, hits.depth
    centre_px, focal_px = tables.centre_px.index_select(1, scene), tables.focal_px.index_select(0, scene)
    ray = torch.stack([(samples.x - centre_px[0]) / focal_px, (samples.y - centre_px[1]) / focal_px, torch.ones_like(depth)])
    point = ray * depth
    point[0] += samples.eye

    local = tables.local_from_world.index_select(1, thing).view(3, 3, -1)
    along = local[:, 0] * ray[0] + local[:, 1] * ray[1] + local[:, 2]
    own = torch.addcmul(tables.origins[samples.eye].index_select(1, thing), depth, along)
    gradient = normals(tables.kind.index_select(0, thing), own, tables.shape.index_select(1, thing))
    normal = unit(local[0] * gradient[0] + local[1] * gradient[1] + local[2] * gradient[2])
    to_eye = unit(-ray)
    towards = dot(normal, to_eye)
    normal = normal * torch.where(towards < 0, -1.0, 1.0)
    towards = towards.abs()

    half = tables.half.index_select(1, thing)
    surface = _textured(tables, textures, thing, own, half, gradient, depth / focal_px, towards)
    shade, highlight = _lit(tables, textures, scene, thing, point, normal, to_eye)
    colour = surface * shade[:, None] + highlight[:, None]
    return _mirrored(tables, textures, samples, thing, colour, ray, normal, towards).clamp(0, 1)


def _textured(
    tables: Tables, textures: Textures, thing: Tensor, own: Tensor, half: Tensor, gradient: Tensor, px: Tensor, towards: Tensor
) -> Tensor:
    """(N, 3) the colour of the surface: its texture seen along the main axis of its normal. px is a pixel's length there."""
    looks = {name: column.index_select(0, thing) for name, column in tables.looks.items()}
    face = main_axis(gradient / half)
    place = own * half
    texels = looks["texels"]
    u = torch.where(face == 0, place[1], place[0]) * texels + looks["offset"][:, 0]
    v = torch.where(face == 2, place[1], place[2]) * texels + looks["offset"][:, 1]
    behind = torch.where(face == 0, gradient[0], torch.where(face == 1, gradient[1], gradient[2])) > 0
    side = (2 * face + behind)[:, None]
    texture = looks["texture"].gather(1, side)[:, 0]
    # The footprint of a pixel is longer than wide on slanted surfaces; between the two is the usual compromise.
    level = (px * texels * towards.clamp(min=0.05) ** -0.5).clamp(min=1).log2()
    mean = textures.mean.index_select(0, texture)
    picture = textures.look_up(texture, u, v, level)
    return (mean + (picture - mean) * looks["contrast"].gather(1, side)) * looks["tint"]


def _lit(
    tables: Tables, textures: Textures, scene: Tensor, thing: Tensor, point: Tensor, normal: Tensor, to_eye: Tensor
) -> tuple[Tensor, Tensor]:
    """(N,) how much light falls on each point, and the highlight that this eye sees there."""
    light = tables.light
    to_lamp = unit(light["place"].index_select(0, scene).T - point)
    lamp = dot(normal, to_lamp).clamp(min=0)
    shaded = (light["dapple"] > 0).index_select(0, scene).nonzero()[:, 0]
    if len(shaded):  # a pattern in front of the lamp: it lies on the surfaces, so both eyes see it at the same points
        where = scene[shaded]
        flat = to_lamp[:2, shaded] / (0.3 + to_lamp[2, shaded].abs()) * light["texels"][where]
        level = torch.full_like(flat[0], SOFT_LEVEL)
        pattern = textures.look_up(light["texture"][where], flat[0], flat[1], level).mean(1)
        lamp[shaded] *= 1 - light["dapple"][where] * (4 * pattern - 1.5).clamp(0, 1)
    ambient = light["ambient"].index_select(0, scene)
    halfway = unit(to_lamp + to_eye)
    strength, power = (tables.looks[name].index_select(0, thing) for name in ("specular", "shininess"))
    highlight = strength * dot(normal, halfway).clamp(min=0) ** power
    return ambient + (1 - ambient) * 1.3 * lamp, highlight


def _mirrored(
    tables: Tables,
    textures: Textures,
    samples: Samples,
    thing: Tensor,
    colour: Tensor,
    ray: Tensor,
    normal: Tensor,
    towards: Tensor,
) -> Tensor:
    """The colours (N, 3) with what glossy things mirror: surroundings infinitely far away."""
    share = tables.looks["reflectivity"].index_select(0, thing)
    glossy = (share > 0).nonzero()[:, 0]
    if not len(glossy):
        return colour
    ray, normal, towards = ray[:, glossy], normal[:, glossy], towards[glossy]
    mirror = unit(ray - 2 * dot(ray, normal) * normal)
    u, v = torch.atan2(mirror[0], mirror[2]) * MIRROR_TEXELS, mirror[1] * MIRROR_TEXELS
    surroundings = tables.light["surroundings"][samples.scene[glossy]]
    seen = textures.look_up(surroundings, u, v, torch.ones_like(u))
    # Schlick's approximation of Fresnel: a grazing view mirrors more. It stays below a half: the surface's own look wins.
    strength = (share[glossy] * (1 + (1 - towards) ** 5)).clamp(max=0.45)[:, None]
    colour = colour.clone()
    colour[glossy] = torch.lerp(colour[glossy], seen, strength)
    return colour
