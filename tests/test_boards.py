"""Boards: their names and files, what is drawn, printed, rendered, and found again in pictures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import boards_seen
import cv2
import numpy as np
import pytest
from boards_seen import BOARDS, filmed
from hypothesis import given
from hypothesis import strategies as st

from stereo_rt import paths
from stereo_rt.calib import lens
from stereo_rt.calib.artwork import artwork, raster
from stereo_rt.calib.boards import KINDS, Board, parse_board, read_board, write_board
from stereo_rt.calib.coverage import coverage, coverage_map
from stereo_rt.calib.detect import Detection, detect, same_way_up
from stereo_rt.calib.printing import PNG_DPI, RULER_MM, lay_out, to_pdf, to_png, to_svg, write_sheet
from stereo_rt.calib.views import find_views, pair_images
from stereo_rt.cli.app import main
from stereo_rt.errors import CalibrationError, SourceError, StereoError, UsageError
from stereo_rt.sources.rendering.target import TargetEye, TargetRig


@given(st.sampled_from(KINDS), st.integers(3, 9), st.integers(3, 9), st.floats(0.004, 0.2))
def test_a_board_survives_its_name_and_its_file(tmp_path_factory, kind: str, columns: int, rows: int, square: float) -> None:
    board = parse_board(f"{kind}:{columns}x{rows}:{square:.6f}")
    file = tmp_path_factory.mktemp("board") / "b.yaml"
    write_board(board, file)
    assert read_board(file) == parse_board(str(file)) == board
    assert str(parse_board(str(board))) == str(board)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("chessboard:9x6", "no size"),
        ("chessboard", "names no board"),
        ("chess:9x6:0.025", "no kind of board"),
        ("chessboard:9x6:25", "perhaps 0.025"),
        ("chessboard:9x6:0", "not possible"),
        ("chessboard:2x6:0.02", "3 to 100"),
        ("chessboard:9x6:0.02:0.01", "no markers"),
        ("charuco:9x6:0.02:0.03", "do not fit"),
        ("charuco:9x6:0.02:0.01:DICT_9", "no marker dictionary"),
        ("charuco:30x30:0.02:0.01:DICT_4X4_50", "450 markers"),
        ("charuco:9x6:1.2.3", "names no board|could not convert"),
    ],
)
def test_a_wrong_name_gets_a_sentence(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_board(text)


def test_a_file_that_is_no_board_is_named(tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text("format: stereo_rt rig\n")
    with pytest.raises(CalibrationError, match=r"rig\.yaml: describes no board"):
        parse_board(str(tmp_path / "rig.yaml"))


def test_the_shipped_boards_can_be_printed_on_a4() -> None:
    files = sorted((paths.calibration() / "boards").glob("*.yaml"))
    assert {read_board(f).kind for f in files} == set(KINDS)
    for file in files:
        lay_out(read_board(file), "a4")


def test_an_aprilgrid_is_laid_out_as_kalibr_does() -> None:
    """The first tag is at the bottom left; its code 0xd5d628584 is printed with the highest bit at the top left."""
    board = parse_board("aprilgrid:6x6:0.0286:0.022")
    left, _, _, bottom = artwork(board).bounds_m
    gap = board.square_m - board.marker_m
    picture = raster(
        artwork(board),
        10 / board.marker_m,
        (left + gap, bottom - gap - board.marker_m, left + gap + board.marker_m, bottom - gap),
    )
    bits = np.rint(picture).astype(int)
    assert bits.shape == (10, 10) and not bits[:2].any() and not bits[:, -2:].any()
    assert int("".join(map(str, bits[2:8, 2:8].ravel())), 2) == 0xD5D628584
    np.testing.assert_allclose(board.points_m[1, :2], (0, 5 * 0.0286 + 0.022), err_msg="corner 1 is the bottom left one")


# -- drawn, printed and found again ----------------------------------------------------------------------------------


def true_to_scale(board: Board, image: np.ndarray, px_per_m: float, tolerance: float = 1e-3) -> None:
    """Every point of the board is found in the picture, and they are as far from each other as they should be."""
    seen = detect(board, image)
    assert seen is not None
    assert len(seen.ids) > 0.95 * len(board.points_m)
    plane = board.points_m[seen.ids, :2] * px_per_m
    shift = (seen.corners_px - plane).mean(axis=0)
    off = np.abs(seen.corners_px - plane - shift).max()
    assert off < tolerance * np.ptp(plane, axis=0).max(), off


@pytest.mark.parametrize("kind", ["chessboard", "charuco", "aprilgrid", "circles"])
def test_the_png_is_true_to_scale(kind: str) -> None:
    sheet = lay_out(BOARDS[kind], "a3")
    png = to_png(sheet)
    place = png.index(b"pHYs")
    per_metre = int.from_bytes(png[place + 4 : place + 8], "big")
    assert per_metre == round(PNG_DPI / 0.0254)
    page = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    true_to_scale(BOARDS[kind], small, per_metre / 2)
    ruler = sheet.art.rects[-1]
    row = page[round((ruler[1] + 0.2) * per_metre / 1000)]
    black = np.flatnonzero(row[: round((ruler[0] + RULER_MM + 2) * per_metre / 1000)] < 128)
    assert abs((black[-1] - black[0]) / per_metre * 1000 - RULER_MM) < 0.3, "the ruler is as long as it says"


@pytest.mark.system
@pytest.mark.parametrize("kind", ["chessboard", "charuco", "aprilgrid", "circles"])
def test_the_pdf_is_true_to_scale(kind: str, tmp_path: Path) -> None:
    if shutil.which("gs") is None:
        pytest.skip("ghostscript is not installed")
    write_sheet(lay_out(BOARDS[kind], "a3"), tmp_path / "board.pdf")
    words = [
        "gs",
        "-q",
        "-dBATCH",
        "-dNOPAUSE",
        "-sDEVICE=pnggray",
        "-r150",
        "-dGraphicsAlphaBits=4",
        "-o",
        "page.png",
        "board.pdf",
    ]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=120)
    page = cv2.imread(str(tmp_path / "page.png"), cv2.IMREAD_GRAYSCALE)
    true_to_scale(BOARDS[kind], page, 150 / 0.0254, 2e-3)


def test_pdf_and_svg_draw_the_same_shapes() -> None:
    sheet = lay_out(BOARDS["charuco"], "a3")
    assert to_svg(sheet).count(b"z") >= len(sheet.art.rects)
    assert f'width="{sheet.width_mm}mm"'.encode() in to_svg(sheet)
    pdf = to_pdf(sheet)
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert pdf[start:].startswith(b"xref")
    places = [int(line.split()[0]) for line in pdf[start:].splitlines()[3:8]]
    assert all(pdf[place:].startswith(b"%d 0 obj" % n) for n, place in enumerate(places, start=1))


def test_what_does_not_fit_is_refused_with_a_size_that_does() -> None:
    with pytest.raises(UsageError, match="squares of 25 mm"):
        lay_out(parse_board("chessboard:9x6:0.04"), "a4")
    lay_out(parse_board("chessboard:9x6:0.025"), "a4")


# -- rendered and found ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["pinhole", "fisheye"])
def model(request: pytest.FixtureRequest) -> str:
    return request.param


def command(*words: str) -> int:
    """The exit code of `calibrate board`."""
    with pytest.raises(SystemExit) as left:
        main(["calibrate", "board", *words])
    return int(left.value.code or 0)


def test_a_board_that_was_corrected_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "chessboard:9x6:0.025", "-o", str(tmp_path / "b.pdf")
    assert command(*words) == command(*words) == 0, "the same again"
    corrected = (tmp_path / "b.yaml").read_text().replace("0.025", "0.0248")
    (tmp_path / "b.yaml").write_text(corrected)
    (tmp_path / "b.pdf").unlink()
    capsys.readouterr()
    assert command(*words) == 1
    said = capsys.readouterr().err
    assert "b.yaml describes another board, chessboard:9x6:0.0248" in said and said.count("\n") == 1
    assert (tmp_path / "b.yaml").read_text() == corrected and not (tmp_path / "b.pdf").exists()
    assert command(str(tmp_path / "b.yaml"), "-o", words[-1]) == 0, "as the sentence says"
    assert (tmp_path / "b.yaml").read_text() == corrected
    (tmp_path / "b.yaml").write_text("notes: mine")
    assert command(*words) == 1
    assert "b.yaml is there already and holds no board" in capsys.readouterr().err
    assert (tmp_path / "b.yaml").read_text() == "notes: mine"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("chessboard", "measure a square and correct square_m there"),
        ("circles", "measure from a row to the next and correct square_m there"),
        ("charuco", "measure a square (square_m) and the black of a marker (marker_m) and correct both there"),
        ("aprilgrid", "measure from a tag to the next (square_m) and the black of a tag (marker_m) and correct both there"),
    ],
)
def test_every_size_that_a_scaled_print_changes_is_named(
    name: str, advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(str(BOARDS[name]), "--paper", "a3", "-o", str(tmp_path / "b.pdf")) == 0
    assert capsys.readouterr().out.endswith(f"if the ruler is off, {advice}\n")


@pytest.mark.parametrize("radius", [0.25, 0.4])
def test_slanted_circles_are_found_by_their_middles(radius: float, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the centroids of their pictures, which lie up to 0.15 px nearer; and however large they were printed."""
    monkeypatch.setattr("stereo_rt.calib.artwork.CIRCLE_RADIUS", radius)
    board = BOARDS["circles"]
    eye = TargetRig(board, boards_seen.rig(model)).left
    R, t = boards_seen.held(board, (35, 20, 5), 0.35)
    seen = detect(board, eye.picture(R, t))
    assert seen is not None
    off = seen.corners_px - eye.corners_px(R, t)
    assert np.abs(off.mean(axis=0)).max() < 0.03 and np.sqrt((off**2).mean()) < 0.04


@pytest.mark.parametrize("name", BOARDS)
def test_corners_are_found_where_they_are(name: str, model: str) -> None:
    board = BOARDS[name]
    eyes = TargetRig(board, boards_seen.rig(model))
    distance = 0.3 if model == "fisheye" else 0.45
    for turn in ((25, -20, 8), (-20, 30, -15)):
        images, truths = filmed(board, eyes, turn, distance)
        for image, truth in zip(images, truths, strict=True):
            seen = detect(board, image)
            assert seen is not None and seen.size == boards_seen.SIZE
            assert len(seen.ids) > 0.5 * len(board.points_m)
            off = np.linalg.norm(seen.corners_px - truth[seen.ids], axis=1)
            if name == "square":  # it may be taken another way up
                off = np.linalg.norm(seen.corners_px[:, None] - truth, axis=2).min(axis=1)
            assert np.median(off) < 0.1 and np.quantile(off, 0.95) < 0.4
            assert 0.3 < seen.sharpness < 0.6


def test_a_picture_of_a_board_agrees_with_opencv() -> None:
    """The renderer's warp against OpenCV's own distortion of an image of the plane seen straight on."""
    board, camera = BOARDS["chessboard"], boards_seen.rig().left
    R, t = boards_seen.held(board, (10, 15, 5), 0.4)
    eye = TargetEye(board, camera)
    expected, _ = cv2.projectPoints(board.points_m, cv2.Rodrigues(R)[0], t, camera.K, camera.dist)
    np.testing.assert_allclose(eye.corners_px(R, t), expected.reshape(-1, 2), atol=1e-6)
    sharp = eye.picture(R, t, blur_px=0, noise=0).astype(float)
    cells = lens.project(camera, (board.points_m[:-10] + np.array([0.0125, 0.0125, 0])) @ R.T + t)
    inside = np.array([n % board.columns < board.columns - 1 for n in range(len(cells))])
    level = np.array([sharp[round(y), round(x)] for x, y in cells])
    black = np.array([(n % board.columns + n // board.columns) % 2 == 0 for n in range(len(cells))])
    assert (level[inside & black] == 25).all() and (level[inside & ~black] == 225).all()


def test_blur_lowers_the_sharpness_as_its_formula_says() -> None:
    board = BOARDS["chessboard"]
    eye = TargetEye(board, boards_seen.rig().left)
    R, t = boards_seen.held(board, (5, 5, 3), 0.35)
    for sigma in (2.0, 3.0):
        seen = detect(board, eye.picture(R, t, blur_px=sigma))
        assert seen is not None
        assert seen.sharpness == pytest.approx(1 / (np.sqrt(2 * np.pi) * sigma), rel=0.2)


def test_both_eyes_take_a_symmetric_board_the_same_way_up() -> None:
    board = BOARDS["square"]
    eyes = TargetRig(board, boards_seen.rig())
    images, truths = filmed(board, eyes, (10, 10, 44), 0.45)
    left, right = (detect(board, image) for image in images)
    assert left is not None and right is not None
    grid = right.corners_px.reshape(7, 7, 2)
    for quarter in range(4):
        turned = Detection(right.ids, np.rot90(grid, quarter).reshape(-1, 2), right.size, right.sharpness)
        same = same_way_up(board, left, turned)
        shift = np.linalg.norm((same.corners_px - left.corners_px) - (truths[1] - truths[0]).mean(axis=0), axis=1)
        assert shift.max() < 15


def test_half_a_board_is_found_by_markers_only() -> None:
    for name, found in (("chessboard", False), ("circles", False), ("charuco", True), ("aprilgrid", True)):
        board = BOARDS[name]
        eye = TargetEye(board, boards_seen.rig().left)
        R, t = boards_seen.held(board, (10, -10, 0), 0.4)
        picture = eye.picture(R, t)
        middle = int(eye.corners_px(R, t)[:, 0].mean())
        seen = detect(board, np.ascontiguousarray(picture[:, :middle]))
        assert (seen is not None) == found, name


def test_nothing_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    assert all(detect(board, noise, quick=True) is None for board in BOARDS.values())


# -- coverage and sets -----------------------------------------------------------------------------------------------


def test_coverage_is_the_share_of_the_area_within_the_points() -> None:
    def box(x0: float, y0: float, x1: float, y1: float) -> Detection:
        return Detection(np.arange(4), np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - 0.5, (640, 480), 0.4)

    assert coverage([]) == 0
    assert coverage([box(0, 0, 640, 480)]) == pytest.approx(1, abs=0.01)
    half = box(0, 0, 320, 480)
    assert coverage([half]) == coverage([half, half, box(10, 10, 300, 400)]) == pytest.approx(0.5, abs=0.02)
    assert coverage([half, box(320, 0, 640, 480)]) == pytest.approx(1, abs=0.02)
    assert coverage_map([half]).shape == (8, 10) and coverage_map([half])[:, 6:].max() == 0


def test_views_of_folders_globs_and_side_by_side(tmp_path: Path) -> None:
    board = BOARDS["chessboard"]
    eyes = TargetRig(board, boards_seen.rig())
    (images, _), empty = filmed(board, eyes, (15, 10, 5), 0.45), np.full((600, 800), 99, np.uint8)
    for place in ("left", "right", "both"):
        (tmp_path / place).mkdir()
    for n, (left, right) in enumerate([images, (empty, images[1]), images]):
        cv2.imwrite(str(tmp_path / f"left/l{n + 8}.png"), left)
        cv2.imwrite(str(tmp_path / f"right/r{n + 8}.png"), right)
        cv2.imwrite(str(tmp_path / f"both/{n + 8}.png"), np.hstack([left, right]))
    (tmp_path / "left/l11.png").write_bytes(b"no image")
    (tmp_path / "right/r11.png").write_bytes((tmp_path / "right/r10.png").read_bytes())
    told: list[tuple[int, int]] = []
    views = find_views(str(tmp_path / "left"), str(tmp_path / "right"), board, progress=lambda *a: told.append(a))
    assert [v.name for v in views] == ["l8", "l9", "l10", "l11"], "numbers count by their value"
    assert [(v.left is not None, v.right is not None) for v in views] == [
        (True, True),
        (False, True),
        (True, True),
        (False, False),
    ]
    assert told[-1] == (4, 4)
    globbed = find_views(str(tmp_path / "left/l[89]*"), str(tmp_path / "right/r[89]*"), board)
    sides = find_views(str(tmp_path / "both"), None, board)
    for one, other in zip(views[:2], sides[:2], strict=True):
        assert one.right is not None and other.right is not None
        np.testing.assert_array_equal(one.right.corners_px, other.right.corners_px)
    assert len(globbed) == 2
    for wrong, error in ((("nowhere", None), SourceError), (("no*.png", "no*.png"), SourceError)):
        with pytest.raises(error):
            pair_images(*wrong)
    with pytest.raises(StereoError, match="holds 4 images but"):
        pair_images(str(tmp_path / "left"), str(tmp_path / "both"))


def test_left_and_right_in_one_folder_are_not_taken_for_side_by_side(tmp_path: Path) -> None:
    for name in ("left01.png", "right01.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((10, 20), np.uint8))
    with pytest.raises(UsageError, match=r"'.*left[*]' '.*right[*]'"):
        pair_images(str(tmp_path), None)


REAL = {
    "opencv": ("opencv_13pairs/left*.jpg", "opencv_13pairs/right*.jpg", "chessboard:9x6:0.025", 13, 0.217),
    "webcam": ("sourishg_stereo/1/left*.jpg", "sourishg_stereo/1/right*.jpg", "chessboard:9x6:0.025", 29, 0.252),
    "small": ("sourishg_stereo/2/left*.jpg", "sourishg_stereo/2/right*.jpg", "chessboard:9x6:0.025", 26, 0.206),
    "side by side": ("pcb9382_sbs/Stereo_Raw", None, "chessboard:11x8:0.025", 23, 0.124),
}


@pytest.mark.parametrize("name", REAL)
def test_real_sets_reach_the_rms_known_of_them(shared_data: Path, name: str) -> None:
    left, right, spec, count, rms_px = REAL[name]
    board, calib = parse_board(spec), shared_data / "calib"
    views = find_views(str(calib / left), right and str(calib / right), board)
    pairs = [(v.left, v.right) for v in views if v.left is not None and v.right is not None]
    assert len(pairs) >= count
    points = [board.points_m.astype(np.float32)] * len(pairs)
    eyes = [[d.corners_px.astype(np.float32) for d in eye] for eye in zip(*pairs, strict=True)]
    size = pairs[0][0].size
    cameras = [cv2.calibrateCamera(points, eye, size, None, None)[1:3] for eye in eyes]
    flags = cv2.CALIB_USE_INTRINSIC_GUESS
    found = cv2.stereoCalibrate(points, *eyes, *cameras[0], *cameras[1], size, flags=flags)[0]
    assert found <= 1.02 * rms_px
