"""Sensor: what two real cameras make of a clean rectified pair. It changes colours, and of geometry only the rows."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

BRIGHTNESS = (0.25, 0.58)  # mean of a picture
BLOCK_PX = 8
LUMA = (0.299, 0.587, 0.114)
# How coarsely each frequency is kept: rises from 10 in steps, about as the tables recommended for JPEG do for brightness.
COARSENESS = torch.tensor([[10.0 + 3 * max(u + v - 2, 0) + 1.2 * u * v for u in range(BLOCK_PX)] for v in range(BLOCK_PX)])


@dataclass(frozen=True)
class Sensor:
    """How bad the cameras may be; Sensor.none() leaves images as they are.

    exposure: of gamma, gain, contrast, saturation and white balance, shared by both eyes. difference: of the same between
    the eyes, of their focus, and of the light that falls on them. noise: standard deviation at most. blur_px: of both, at
    most. vertical_px: how far rows of the right eye may be off, a constant and a slope along x. patches: share of pairs
    whose right eye is partly covered. jpeg, grey: shares of pairs that were compressed, or have no colour.
    good: share of pairs from good cameras, with a quarter of the noise and of the rows' error, and no compression.
    """

    exposure: float = 1.0
    difference: float = 1.0
    noise: float = 0.035
    blur_px: float = 1.0
    vertical_px: float = 1.2
    patches: float = 0.2
    jpeg: float = 0.3
    grey: float = 0.2
    good: float = 0.5

    @classmethod
    def none(cls) -> Sensor:
        return cls(**{field.name: 0.0 for field in fields(cls)})


class _Draw:
    """Random numbers of B pairs: a CPU generator decides, so that any device does the same without waiting."""

    def __init__(self, pairs: int, generator: torch.Generator, device: torch.device) -> None:
        self.pairs, self.generator, self.device = pairs, generator, device

    def uniform(self, low: float = 0.0, high: float = 1.0, channels: int = 1) -> Tensor:
        """(B, channels, 1, 1) in [low, high)."""
        values = low + (high - low) * torch.rand(self.pairs, channels, 1, 1, generator=self.generator)
        return values.to(self.device)

    def normal(self, channels: int = 1) -> Tensor:
        return torch.randn(self.pairs, channels, 1, 1, generator=self.generator).to(self.device)

    def chance(self, share: float) -> Tensor:
        """(B, 1, 1, 1): 1 for that share of the pairs, 0 for the others."""
        return (self.uniform() < share).float()


def sense(left: Tensor, right: Tensor, generator: torch.Generator, sensor: Sensor | None = None) -> tuple[Tensor, Tensor]:
    """Both images (B, 3, H, W) in [0, 1] as cameras would deliver them, a function of the arguments.

    generator: of the CPU, whatever the images are on. What a pixel of the left image shows stays where it is; in the right
    image it moves by at most sensor.vertical_px, up or down. Always in FP32, whatever runs around it.
    """
    with torch.autocast(left.device.type, enabled=False):
        return _sense(left, right, generator, sensor or Sensor())


def _sense(left: Tensor, right: Tensor, generator: torch.Generator, sensor: Sensor) -> tuple[Tensor, Tensor]:
    draw = _Draw(len(left), generator, left.device)
    noise = torch.Generator(left.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    poor = 1 - draw.chance(sensor.good)
    flaws = 0.25 + 0.75 * poor
    right = _covered(_misaligned(right, draw, sensor.vertical_px * flaws), draw, sensor.patches)
    uneven = sensor.difference * draw.chance(0.6)
    strength = sensor.exposure
    gamma = torch.exp2(strength * draw.uniform(-0.7, 0.5))
    level = draw.uniform(*BRIGHTNESS)  # cameras expose themselves: most of a picture is neither black nor white
    seen = left.mean((1, 2, 3), keepdim=True) ** gamma
    gain = ((level / seen.clamp(min=0.02)) ** strength).clamp(max=8)
    centre = torch.lerp(torch.full_like(level, 0.5), level, strength)
    contrast = 1 + strength * draw.uniform(-0.3, 0.2)
    saturation = (1 + strength * draw.uniform(-0.6, 0.8)) * (1 - draw.chance(sensor.grey))
    balance = 1 + 0.09 * strength * draw.normal(3)
    blur_px = sensor.blur_px * (draw.uniform(0, 0.5) + draw.chance(0.2) * draw.uniform())
    grain = sensor.noise * (0.06 + draw.uniform() ** 3) * draw.uniform(0.5, 1) * flaws
    compressed = draw.chance(sensor.jpeg) * poor
    quality = draw.uniform(0.15, 1.5)
    vignette = strength * draw.chance(0.4) * draw.uniform(0, 0.45)
    eyes = []
    for image in (left, right):
        image = _blurred(image, blur_px + 0.4 * uneven * draw.uniform())
        image = image * _light(image, uneven * draw.chance(0.5) * 0.25, draw)
        image = image.clamp(1e-4, 1) ** (gamma * (1 + 0.1 * uneven * draw.normal()).clamp(0.6, 1.6))
        image = image * gain * balance * (1 + uneven * (0.12 * draw.normal() + 0.06 * draw.normal(3))).clamp(0.6, 1.5)
        image = _in_colour(image, saturation)
        image = centre + (image - centre) * contrast + 0.02 * uneven * draw.normal()
        image = _noisy(image * _darker_corners(image, vignette), grain, draw.chance(0.4), noise).clamp(0, 1)
        eyes.append(_compressed(image, compressed, quality))
    return eyes[0], eyes[1]


def _misaligned(image: Tensor, draw: _Draw, most_px: Tensor | float) -> Tensor:
    """Rows moved by a constant and, as a tiny rotation does, in proportion to x; together no more than most_px."""
    height, width = image.shape[2:]
    constant = (0.3 * draw.normal()).clamp(-0.75, 0.75) * most_px
    slope = (0.1 * draw.normal()).clamp(-0.25, 0.25) * most_px
    x = torch.linspace(-1, 1, width, device=image.device).view(1, 1, 1, -1)
    shift = constant + slope * x
    y = torch.arange(height, device=image.device).view(1, 1, -1, 1)
    place = (y + shift).clamp(0, height - 1).expand(-1, 3, -1, -1)
    above = place.floor()
    upper = above.long()
    lower = (upper + 1).clamp(max=height - 1)
    return torch.lerp(image.gather(2, upper), image.gather(2, lower), place - above)


def _covered(image: Tensor, draw: _Draw, share: float) -> Tensor:
    """Up to two patches of the mean colour over the images of that share of the pairs: the network must use context."""
    height, width = image.shape[2:]
    y = torch.arange(height, device=image.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=image.device).view(1, 1, 1, -1)
    chosen = draw.chance(share)
    for _ in range(2):
        tall, wide = height * draw.uniform(0.08, 0.35), width * draw.uniform(0.04, 0.22)
        top, first = draw.uniform() * (height - tall), draw.uniform() * (width - wide)
        inside = (y >= top) & (y < top + tall) & (x >= first) & (x < first + wide) & (chosen > 0)
        image = torch.where(inside, image.mean((2, 3), keepdim=True), image)
    return image


def _blurred(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Each pair with a Gaussian of its own, sigma_px (B, 1, 1, 1)."""
    pairs, channels, height, width = image.shape
    taps = torch.arange(-3, 4, device=image.device)
    kernel = torch.exp(-0.5 * (taps / sigma_px.view(-1, 1).clamp(min=0.05)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    stack = image.reshape(1, pairs * channels, height, width)
    stack = F.conv2d(F.pad(stack, (3, 3, 0, 0), mode="replicate"), kernel[:, None, None, :], groups=pairs * channels)
    stack = F.conv2d(F.pad(stack, (0, 0, 3, 3), mode="replicate"), kernel[:, None, :, None], groups=pairs * channels)
    return stack.view(image.shape)


def _light(image: Tensor, amount: Tensor, draw: _Draw) -> Tensor:
    """(B, 1, H, W) smooth factors about 1: light that falls differently on the two eyes, or reflections in the lens."""
    coarse = torch.randn(len(image), 1, 3, 5, generator=draw.generator).to(image.device)
    return 1 + amount * F.interpolate(coarse, image.shape[2:], mode="bicubic", align_corners=True).clamp(-2, 2)


def _in_colour(image: Tensor, saturation: Tensor) -> Tensor:
    grey = (image * torch.tensor(LUMA, device=image.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.lerp(grey.expand_as(image), image, saturation)


def _darker_corners(image: Tensor, amount: Tensor) -> Tensor:
    y = torch.linspace(-1, 1, image.shape[2], device=image.device).view(1, 1, -1, 1)
    x = torch.linspace(-1, 1, image.shape[3], device=image.device).view(1, 1, 1, -1)
    return 1 - amount * (x * x + y * y) / 2


def _noisy(image: Tensor, deviation: Tensor, grey: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of the photons (grows with the root of the brightness) and of reading out; the same in all colours if grey."""
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    noise = torch.lerp(noise, noise[:, :1].expand_as(noise), grey)
    return image + deviation * (0.4 + 0.6 * image.clamp(0, 1).sqrt()) * noise


def _compressed(image: Tensor, chosen: Tensor, coarseness: Tensor) -> Tensor:
    """JPEG in outline, of the pairs where chosen (B, 1, 1, 1) is 1: the cosine transform of blocks, rounded to multiples
    of COARSENESS times coarseness (B, 1, 1, 1) grey levels; differences of colour twice as coarsely."""
    which = chosen.flatten().nonzero()[:, 0]
    if not len(which):
        return image
    picture = image[which]
    height, width = picture.shape[2:]
    luma = (picture * torch.tensor(LUMA, device=image.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    planes = torch.cat([luma, picture[:, ::2] - luma], 1) * 255  # brightness, red and blue differences
    down, right = -height % BLOCK_PX, -width % BLOCK_PX
    planes = F.pad(planes, (0, right, 0, down), mode="replicate")
    blocks = planes.unflatten(3, (-1, BLOCK_PX)).unflatten(2, (-1, BLOCK_PX)).transpose(3, 4)
    basis = _cosines(image.device)
    step = COARSENESS.to(image.device) * coarseness[which].view(-1, 1, 1, 1, 1, 1)
    step = step * torch.tensor([1.0, 2.0, 2.0], device=image.device).view(1, 3, 1, 1, 1, 1)
    blocks = basis.T @ ((basis @ blocks @ basis.T / step).round() * step) @ basis
    planes = blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width] / 255
    luma, red, blue = planes.split(1, 1)
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    result = image.clone()
    result[which] = (luma + torch.cat([red, green, blue], 1)).clamp(0, 1)
    return result


def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal cosine transform: row k is the k-th frequency."""
    k = torch.arange(BLOCK_PX, device=device)
    basis = torch.cos(torch.pi / BLOCK_PX * (k[None] + 0.5) * k[:, None]) * (2 / BLOCK_PX) ** 0.5
    basis[0] /= 2**0.5
    return basis
