"""Synthetic scenes: what is said of a pair must be what the pair shows, to the last ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from stereo_rt.errors import ConfigError  # noqa: E402
from stereo_rt.training import preview  # noqa: E402
from stereo_rt.training.crops import Crop, Zoom, cut, draw_crop, draw_enlarged  # noqa: E402
from stereo_rt.training.scenes import stream as streams  # noqa: E402
from stereo_rt.training.scenes.layout import Layout, covered, sample_layout  # noqa: E402
from stereo_rt.training.scenes.materials import LEAST_CONTRAST, LEAST_DEVIATION, MOST_CONTRAST  # noqa: E402
from stereo_rt.training.scenes.rendering import look, render, seen, trace  # noqa: E402
from stereo_rt.training.scenes.shapes import CUT, WAVES, Kind  # noqa: E402
from stereo_rt.training.scenes.stream import SceneStream  # noqa: E402
from stereo_rt.training.scenes.tables import Tables, tabulate  # noqa: E402
from stereo_rt.training.scenes.textures import Textures, make_textures  # noqa: E402
from stereo_rt.training.scenes.view import sample_view  # noqa: E402
from stereo_rt.training.scenes.visibility import Candidates, Samples, pixel_centres  # noqa: E402

SIZE = (96, 64)
NUMBERS = st.integers(0, 10_000)
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def textures() -> Textures:
    return make_textures(24, seed=5)


def layout(textures: Textures, number: int, size: tuple[int, int] = SIZE, most_px: float = 40) -> Layout:
    """A small scene whose things are as far away, in baselines, as those of a large one."""
    return sample_layout(3, number, size, most_px, textures.deviation)


def matt(scene: Layout) -> Layout:
    """The scene without what looks different from another place: highlights, mirrors and clear glass."""
    zero, one = np.zeros(len(scene.things.kind)), np.ones(len(scene.things.kind))
    return replace(scene, materials=replace(scene.materials, specular=zero, reflectivity=zero, opacity=one))


def all_pairs(tables: Tables, samples: Samples) -> list[Candidates]:
    """Every thing with every sample: what the rectangles of the things only make faster."""
    n = torch.arange(len(samples.x))
    pairs = []
    for kind in Kind:
        things = (tables.kind == kind).nonzero()[:, 0]
        pairs.append(Candidates(kind, things.repeat_interleave(len(n)), n.repeat(len(things))))
    return pairs


@settings(max_examples=6, derandomize=True)
@given(NUMBERS)
def test_the_other_eye_sees_the_same_point_where_the_disparity_says(textures: Textures, number: int) -> None:
    """Rays of the right eye through exactly x - d: what is not occluded has the same depth and, being matt, colour."""
    scene = matt(layout(textures, number))
    tables = tabulate([scene], "cpu")
    left = pixel_centres(tables, 0)
    behind, pane = trace(tables, left, all_pairs(tables, left))
    hits = seen(tables, behind, pane)
    disparity_px = tables.focal_px[0] / hits.depth
    right = Samples(1, left.scene, left.x - disparity_px, left.y)
    other_behind, other_pane = trace(tables, right, all_pairs(tables, right))
    other = tables.focal_px[0] / seen(tables, other_behind, other_pane).depth

    assert (other >= disparity_px - 0.02).float().mean() > 0.995  # nothing but what is nearer can be in the way
    rendered = render([scene], textures)
    torch.testing.assert_close(rendered.disparity_px[0].flatten(), disparity_px)
    visible = ~rendered.occluded[0].flatten()
    same = (other - disparity_px).abs() < 0.01
    assert same[visible].float().mean() > 0.94  # the check on whole pixels is blind to what is thinner than they are
    both = same & (right.x > -0.5)
    ours, theirs = look(tables, textures, left, behind, pane), look(tables, textures, right, other_behind, other_pane)
    difference = (ours - theirs).abs().amax(1)[both]
    assert difference.median() < 2e-3 and difference.quantile(0.97) < 0.05  # mip levels depend on the slant seen


@settings(max_examples=6, derandomize=True)
@given(NUMBERS)
def test_warping_the_right_image_gives_the_left_one(textures: Textures, number: int) -> None:
    scene = matt(layout(textures, number, (160, 96)))
    rendered = render([scene], textures)
    (left, right), disparity_px = (i[0].permute(1, 2, 0).numpy() for i in rendered.images), rendered.disparity_px[0][0].numpy()
    y, x = np.mgrid[: disparity_px.shape[0], : disparity_px.shape[1]].astype(np.float32)
    warped = cv2.remap(right, x - disparity_px, y, cv2.INTER_LINEAR)
    error = np.abs(warped - left).max(-1)[~rendered.occluded[0][0].numpy()]
    wrong = np.abs(right - left).max(-1)[~rendered.occluded[0][0].numpy()]
    assert np.median(error) < 0.02
    assert error.mean() < max(0.02, 0.75 * wrong.mean())


@settings(max_examples=8, derandomize=True)
@given(NUMBERS)
def test_both_truths_agree_where_nothing_is_occluded(textures: Textures, number: int) -> None:
    """The left-right check, written out in NumPy for both eyes, is what `occluded` says."""
    rendered = render([layout(textures, number)], textures)
    truths = [d[0].numpy() for d in rendered.disparity_px]
    for own, other, sign, occluded in zip(truths, truths[::-1], (-1, 1), rendered.occluded, strict=True):
        expected = np.ones(own.shape, bool)
        for (y, x), d in np.ndenumerate(own):
            there = int(np.round(np.float32(x) + sign * d))
            if 0 <= there < own.shape[1]:
                expected[y, x] = abs(other[y, there] - d) > 1
        assert (expected != occluded[0].numpy()).mean() < 1e-3


@settings(max_examples=25, derandomize=True)
@given(NUMBERS, st.sampled_from([20.0, 40.0, 192.0]))
def test_no_disparity_beyond_the_promised(textures: Textures, number: int, most_px: float) -> None:
    rendered = render([layout(textures, number, most_px=most_px)], textures)
    for disparity_px in rendered.disparity_px:
        assert disparity_px.min() > 0 and disparity_px.max() <= most_px * 1.0001


def test_the_range_is_used(textures: Textures) -> None:
    views = [sample_view(np.random.default_rng(number), (640, 320), 192) for number in range(300)]
    assert min(v.far_px for v in views) < 1
    assert max(v.near_px for v in views) == 192
    assert 30 < np.median([v.near_px for v in views]) < 120
    close = np.mean([v.far_px >= 8 for v in views])
    assert 0.5 < close < 0.8  # on a grid of 1024 columns a desk's backdrop is that near, and nearer


def test_large_surfaces_have_contrast(textures: Textures) -> None:
    """So that no scene is impossible: what covers the view can be matched."""
    deviation = textures.deviation
    checked = 0
    for number in range(60):
        scene = layout(textures, number)
        large = covered(scene.things, scene.view) > 0.5
        contrast = scene.materials.contrast[large]
        assert (contrast >= LEAST_CONTRAST).all()
        texture = deviation[scene.materials.texture[large]] * scene.materials.tint[large].mean(1, keepdims=True)
        least = np.minimum(LEAST_DEVIATION, MOST_CONTRAST * texture)
        assert (contrast * texture > 0.85 * least).all()  # the tint varies a little within a group
        checked += large.sum()
    assert checked >= 60


def numpy_depth(scene: Layout, eye: int) -> np.ndarray:
    """(H, W) depth of the first surface, panes left out: the plain twin, in float64 and in the world's coordinates."""
    view, things = scene.view, scene.things
    y, x = np.mgrid[: view.height, : view.width]
    rays = np.stack([(x - view.cx_px) / view.focal_px, (y - view.cy_px) / view.focal_px, np.ones(x.shape)], -1)
    depth = np.full(x.shape, np.inf)
    for k, kind in enumerate(things.kind):
        origin = (np.array([eye, 0, 0]) - things.centre[k]) @ things.rotation[k] / things.half[k]
        direction = rays @ things.rotation[k] / things.half[k]
        shape = things.shape[k]
        if kind == Kind.PANE:
            continue
        with np.errstate(all="ignore"):
            depth = np.minimum(depth, numpy_meets(Kind(kind), origin, direction, shape))
    return depth


def numpy_meets(kind: Kind, origin: np.ndarray, direction: np.ndarray, shape: np.ndarray) -> np.ndarray:
    planes = np.stack([(-1 - origin) / direction, (1 - origin) / direction])
    enters, leaves = planes.min(0).max(-1), planes.max(0).min(-1)
    if kind == Kind.ROOM:
        return leaves
    if kind == Kind.BOX:
        return np.where((enters < leaves) & (enters > 0), enters, np.inf)
    if kind == Kind.QUADRIC:
        q, linear, constant = shape[:3], shape[3], shape[4]
        a, b = (q * direction**2).sum(-1), 2 * (q * origin * direction).sum(-1) + linear * direction[..., 2]
        c = (q * origin**2).sum() + linear * origin[2] + constant
        roots = np.stack([(-b - np.sqrt(b * b - 4 * a * c)) / (2 * a), (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)])
        inside = np.abs(origin + roots[..., None] * direction).max(-1) <= 1.0001
        return np.where(inside & (roots > 0), roots, np.inf).min(0)
    if kind == Kind.RELIEF:
        waves = shape[CUT:].reshape(WAVES, 4)

        def above(t: np.ndarray) -> np.ndarray:
            p = origin + t[..., None] * direction
            return p[..., 2] - sum(a * np.sin(ku * p[..., 0] + kv * p[..., 1] + phase) for ku, kv, phase, a in waves)

        enters = np.maximum(enters, 0)
        low, high, found = enters, enters, np.zeros(enters.shape, bool)
        for t in np.linspace(enters, leaves, 120)[1:]:
            crossing = ~found & (enters < leaves) & (np.sign(above(t)) != np.sign(above(enters)))
            low, high = np.where(crossing | found, low, t), np.where(crossing, t, high)
            found |= crossing
        for _ in range(30):
            middle = (low + high) / 2
            same = np.sign(above(middle)) == np.sign(above(enters))
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return np.where(found, low, np.inf)
    t = -origin[2] / direction[..., 2]
    u, v = (origin[axis] + t * direction[..., axis] for axis in (0, 1))
    m, n, share = shape[CUT : CUT + 3]
    kept = {
        Kind.SHEET: u == u,
        Kind.DISC: u * u + v * v < 1,
        Kind.BARS: u * m % 1 < share,
        Kind.GRID: (u * m % 1 < share) | (v * n % 1 < share),
        Kind.HOLES: np.hypot(u * m % 1 - 0.5, v * n % 1 - 0.5) > (1 - share) / 2,
        Kind.BLOBS: np.sin(2.1 * u * m)
        + np.sin(1.7 * v * n)
        + np.sin(3.3 * u * m + 2.9 * v * n)
        + np.sin(5.1 * u * m - 4.3 * v * n)
        > 4 * share - 1.5,
        Kind.FLOWER: np.hypot(u, v) < 0.65 + 0.35 * np.cos(np.arctan2(v, u) * m + n),
    }[kind]
    return np.where(kept & (np.maximum(abs(u), abs(v)) < 1) & (t > 0), t, np.inf)


@pytest.mark.parametrize("eye", [0, 1])
def test_against_a_plain_twin_in_numpy(textures: Textures, eye: int) -> None:
    met: set[int] = set()
    for number in range(10):
        scene = layout(textures, number)
        clear = replace(scene, materials=replace(scene.materials, opacity=np.zeros(len(scene.things.kind))))
        expected = scene.view.focal_px / numpy_depth(scene, eye)
        disparity_px = render([clear], textures).disparity_px[eye][0].numpy()
        met |= set(scene.things.kind.tolist())
        assert (np.abs(disparity_px - expected) < 2e-3 * np.maximum(1, expected / 50)).mean() > 0.998, number
    assert met == set(Kind)


def test_edges_are_smooth_and_all_else_is_as_sharp(textures: Textures) -> None:
    """A pixel at an edge is the mean of four rays; the truth is that of its centre."""
    scene = layout(textures, 4)
    tables = tabulate([scene], "cpu")
    centres = pixel_centres(tables, 0)
    plain = look(tables, textures, centres, *trace(tables, centres, all_pairs(tables, centres)))
    image = render([scene], textures).images[0][0].permute(1, 2, 0).reshape(-1, 3)
    same = (image - plain).abs().amax(1) < 1e-5
    assert 0.4 < same.float().mean() < 0.98
    k = int((~same).nonzero()[0])
    four = Samples(0, centres.scene[[k] * 4], centres.x[k] + torch.tensor([-0.25, 0.25, -0.25, 0.25]),
                   centres.y[k] + torch.tensor([-0.25, -0.25, 0.25, 0.25]))  # fmt: skip
    mean = look(tables, textures, four, *trace(tables, four, all_pairs(tables, four))).mean(0)
    torch.testing.assert_close(image[k], mean, atol=1e-5, rtol=0)


def test_a_scene_does_not_depend_on_those_rendered_with_it(textures: Textures) -> None:
    scenes = [layout(textures, number) for number in range(3)]
    together, alone = render(scenes, textures), render(scenes[1:2], textures)
    torch.testing.assert_close(together.disparity_px[0][1], alone.disparity_px[0][0], rtol=1e-6, atol=0)
    torch.testing.assert_close(together.images[1][1], alone.images[1][0], rtol=0, atol=1e-4)
    assert not torch.equal(together.images[0][0], together.images[0][1])


def test_textures_go_on_mirrored_and_blend(textures: Textures) -> None:
    kind = torch.tensor([3, 3, 3, 3])
    u, v = torch.tensor([10.5, 501.5, 10.5, 522.5]), torch.tensor([20.5, -20.5, 20.5, -491.5])
    same = textures.look_up(kind, u, v, torch.tensor([0.0, 0.0, 0.0, 0.0]))
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], same[3])
    base = textures.texels.view(24, -1)[3, : 256 * 256].contiguous().view(torch.uint8).view(256, 256, 4)[..., :3].float() / 255
    torch.testing.assert_close(same[2], base[20, 10])
    at_the_edge = textures.look_up(kind[:1], torch.tensor([256.0]), torch.tensor([20.5]), torch.tensor([0.0]))[0]
    torch.testing.assert_close(at_the_edge, base[20, 255])
    coarse = textures.look_up(kind[:1], torch.tensor([11.0]), torch.tensor([21.0]), torch.tensor([1.0]))[0]
    torch.testing.assert_close(coarse, base[20:22, 10:12].mean((0, 1)), atol=1 / 255, rtol=0)


@pytest.fixture
def few_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TEXTURES", 6)


SMALL = {"size": (64, 48), "batch": 3, "pool": 4, "fresh": 2, "max_disparity_px": 32}


@pytest.mark.parametrize("fresh", [2, 0.5])
def test_a_step_is_the_same_walked_to_or_jumped_to(few_textures: None, fresh: float) -> None:
    walking, jumping, anew = (SceneStream(**SMALL | {"fresh": fresh}, seed=9) for _ in range(3))
    for step in range(4):
        walked = walking.batch(step)
    jumped = jumping.batch(3)
    again = walking.batch(0), anew.batch(0)
    for one, other in ((walked, jumped), again):
        for name in ("left", "right", "disparity_px", "occluded"):
            assert torch.equal(getattr(one, name).nan_to_num(-1), getattr(other, name).nan_to_num(-1)), name


@pytest.fixture
def own_threads() -> Iterator[None]:
    """The test may set torch's number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 3])
def test_fewer_than_one_fresh_scene_a_step(
    few_textures: None, own_threads: None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    drawn: list[int] = []
    monkeypatch.setattr(streams, "sample_layout", lambda seed, k, *rest: drawn.append(k) or sample_layout(seed, k, *rest))
    stream = SceneStream(**SMALL | {"fresh": 0.25}, seed=9)
    counts = []
    for step in range(25):
        stream.batch(step)
        counts.append(len(drawn))
    assert sorted(drawn) == list(range(counts[-1]))  # each once
    if threads == 1:  # the pool of four, and another one at every fourth step
        assert drawn[:5] == [0, 1, 2, 3, 4] and counts[7] == 5
        assert counts == [4 + step // 4 for step in range(25)]
    else:  # by threes
        assert counts == [6 + 3 * (step // 12) for step in range(25)]
    assert torch.get_num_threads() == threads


def test_threads_change_no_sample(few_textures: None, own_threads: None) -> None:
    batches = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        stream = SceneStream(**SMALL | {"fresh": 0.5}, seed=3)
        batches.append([stream.batch(step) for step in (0, 1, 7, 2)])
    for others in batches[1:]:
        for one, other in zip(batches[0], others, strict=True):
            assert torch.equal(one.left, other.left) and torch.equal(one.right, other.right)
            assert torch.equal(one.occluded, other.occluded)


def test_what_a_batch_is(few_textures: None) -> None:
    batch = SceneStream(**SMALL, seed=1).batch(0)
    assert batch.left.shape == batch.right.shape == (3, 3, 48, 64)
    assert batch.disparity_px.shape == batch.occluded.shape == (3, 48, 64)
    assert batch.left.dtype == batch.disparity_px.dtype == torch.float32 and batch.occluded.dtype == torch.bool
    assert batch.weight is None
    assert batch.left.min() >= 0 and batch.right.max() <= 1
    known = batch.disparity_px[batch.disparity_px.isfinite()]
    assert known.min() > 0 and known.max() <= 32
    assert batch.occluded[torch.arange(64) - batch.disparity_px < -0.5].all()


@pytest.mark.parametrize("enlarged", [0.0, 1.0])
@pytest.mark.parametrize("eye", [0, 1])
def test_the_truth_goes_with_all_that_is_done_to_a_pair(
    few_textures: None, monkeypatch: pytest.MonkeyPatch, enlarged: float, eye: int
) -> None:
    monkeypatch.setattr(streams, "sense", lambda left, right, chance: (left, right))
    monkeypatch.setattr(streams, "sample_layout", lambda *asked: matt(sample_layout(*asked)))
    monkeypatch.setattr(streams.torch, "randint", lambda high, *rest, **more: torch.tensor(eye if high == 2 else 0))
    stream = SceneStream(**SMALL | {"size": (192, 128), "max_disparity_px": 96}, seed=4, zoom=Zoom(enlarged=enlarged))
    exact, shifted = [], []
    for step in range(4):
        batch = stream.batch(step)
        y, x = np.mgrid[:128, :192].astype(np.float32)
        for left, right, known, hidden in zip(batch.left, batch.right, batch.disparity_px, batch.occluded, strict=True):
            left, right = (image.permute(1, 2, 0).numpy() for image in (left, right))
            there = (x - known.numpy())[..., None] + np.array([0, 1.5], np.float32)
            seen = ~hidden.numpy() & np.isfinite(known.numpy()) & (there.min(2) > 1) & (there.max(2) < 190)
            for found, place in zip((exact, shifted), there.transpose(2, 0, 1), strict=True):
                warped = cv2.remap(right, np.ascontiguousarray(place), y, cv2.INTER_LINEAR)
                found.extend(np.abs(warped - left).mean(2)[seen])
    assert len(exact) > 20_000
    assert np.mean(exact) < 0.5 * np.mean(shifted)


def test_seeds_and_steps_differ(few_textures: None) -> None:
    stream = SceneStream(**SMALL, seed=1)
    first, second, other = stream.batch(0), stream.batch(1), SceneStream(**SMALL, seed=2).batch(0)
    assert not torch.equal(first.left, second.left)
    assert not torch.equal(first.left, other.left)


def test_photographs_become_textures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((40, 60, 3), (0, 0, 200), np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    mean = make_textures(6, 0, photographs=tmp_path).mean
    torch.testing.assert_close(mean[:3], torch.tensor([[200 / 255, 0, 0]]).expand(3, 3), atol=0.01, rtol=0)
    assert (mean[3:, 1] > 0.01).all()


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_a_folder_without_photographs_is_one_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="name a folder of photographs"):
        make_textures(4, 0, photographs=tmp_path / folder)


def test_no_stream_of_nonsense() -> None:
    with pytest.raises(ValueError, match="no stream"):
        SceneStream(pool=2, fresh=3)


def test_the_preview_is_one_picture(few_textures: None, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sheet.png"
    preview.sheet(SceneStream(**SMALL, seed=1), path, rows=5, title="five of them")
    image = cv2.imread(str(path))
    strip = 34
    assert image.shape == (strip + 5 * (strip + 48), 4 * 64 + 3 * 2, 3)
    first = image[2 * strip : 2 * strip + 48]
    hidden = SceneStream(**SMALL, seed=1).batch(0).occluded[0].numpy()
    assert np.array_equal(first[:, -64:, 0] > 127, hidden)
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_the_zoom_bounds_what_crops_are_resized_by() -> None:
    chance = torch.Generator().manual_seed(3)
    widths = [draw_crop(chance, (2000, 1000), (200, 100), Zoom(1.0, 2.0, unscaled=0.5)).width for _ in range(200)]
    assert 0.35 < np.mean([width == 200 for width in widths]) < 0.65
    assert 100 <= min(widths) < 110 and max(widths) == 200


def test_a_share_is_enlarged_as_a_finer_grid_does() -> None:
    chance = torch.Generator().manual_seed(3)
    windows = [draw_enlarged(chance, (200, 100), 0.4) for _ in range(300)]
    drawn = [w for w in windows if w is not None]
    assert 0.3 < len(drawn) / len(windows) < 0.5
    assert min(w.width for w in drawn) < 110 and max(w.width for w in drawn) > 190
    assert all(100 <= w.width <= 200 and abs(w.width - 2 * w.height) <= 1 for w in drawn)
    assert all(0 <= w.x <= 200 - w.width and 0 <= w.y <= 100 - w.height for w in drawn)


@settings(max_examples=30, derandomize=True)
@given(st.integers(0, 2**31), st.floats(0, 20), st.floats(-0.05, 0.2), st.floats(-0.1, 0.1))
def test_a_crop_keeps_planes_exact(seed: int, start: float, across: float, down: float) -> None:
    """The disparity d = start + across x + down y of a window, after any crop, is that plane in the new pixels."""
    source, size = (90, 70), (64, 48)
    y, x = torch.meshgrid(torch.arange(70.0), torch.arange(90.0), indexing="ij")
    plane = 10 + start + across * x + down * y
    crop = draw_crop(torch.Generator().manual_seed(seed), source, size)
    ramp = torch.stack([x, y, x, x, y, x]).to(torch.uint8)
    images, disparity_px, occluded = cut(replace(crop, channels=(0, 1, 2)), ramp, plane, torch.zeros(70, 90, dtype=bool), size)
    assert images.shape == (6, 48, 64)
    v, u = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    if crop.upside_down:
        v = 47 - v
    wide, high = size[0] / crop.width, size[1] / crop.height
    at_x, at_y = crop.x + (u + 0.5) / wide - 0.5, crop.y + (v + 0.5) / high - 0.5
    inner = (slice(2, -2), slice(2, -2))
    expected = wide * (10 + start + across * at_x + down * at_y)
    torch.testing.assert_close(disparity_px[inner], expected[inner], atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(images[0][inner] * 255, at_x[inner], atol=0.6, rtol=0)
    torch.testing.assert_close(images[4][inner] * 255, at_y[inner], atol=0.6, rtol=0)
    assert torch.equal(occluded, u - disparity_px < -0.5)


def test_a_crop_does_not_blend_across_a_step() -> None:
    step = torch.full((60, 80), 5.0)
    step[:, 40:] = 30
    _, disparity_px, _ = cut(Crop(3, 2, 51, 43, False, (0, 1, 2)), torch.zeros(6, 60, 80, dtype=torch.uint8), step,
                             torch.zeros(60, 80, dtype=bool), (64, 48))  # fmt: skip
    values = disparity_px / (64 / 51)
    near, far = (values - 30).abs() < 1e-4, (values - 5).abs() < 1e-4
    assert (near | far).all() and near.any() and far.any()
