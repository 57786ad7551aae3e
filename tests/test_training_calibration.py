"""Platt scaling: known coefficients are found again, and a network that claims too much is put right."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from stereo_rt.config import MatchConfig  # noqa: E402
from stereo_rt.matchers.torch import TorchMatcher  # noqa: E402
from stereo_rt.nets.student import Student  # noqa: E402
from stereo_rt.sources.synthetic import SyntheticCamera  # noqa: E402
from stereo_rt.training.batch import Batch  # noqa: E402
from stereo_rt.training.calibration import calibrate, fit_platt  # noqa: E402


@pytest.mark.parametrize(("gain", "bias"), [(1.0, 0.0), (0.4, 1.5), (2.5, -0.7)])
def test_known_coefficients_are_found_again(gain: float, bias: float) -> None:
    chance = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(100_000, generator=chance)
    right = torch.rand(len(logits), generator=chance) < torch.sigmoid(gain * logits + bias)
    found = fit_platt(logits, right)
    assert found.gain == pytest.approx(gain, rel=0.05) and found.bias == pytest.approx(bias, abs=0.05)


def test_ranks_stay_even_where_the_claims_are_upside_down() -> None:
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert fit_platt(logits, logits < 0).gain > 0


class Frames:
    """A Stream of rendered pairs with their exact disparity."""

    def __init__(self, matcher: TorchMatcher) -> None:
        self._camera, self._matcher = SyntheticCamera(size=(320, 256)), matcher

    def batch(self, step: int) -> Batch:
        frame = self._camera.frame(step * 40)
        left, right = (t.clone() for t in self._matcher.enter(frame.left, frame.right))
        truth = self._camera.ground_truth(step * 40)
        return Batch(
            left, right, torch.from_numpy(truth.disparity_px.copy())[None], torch.from_numpy(truth.occluded.copy())[None]
        )


def test_a_network_that_claims_too_much_is_put_right() -> None:
    matcher = TorchMatcher(MatchConfig(backend="torch", threads=1), scale=0.5)
    net: Student = matcher.net
    frames = Frames(matcher)
    with torch.inference_mode():
        batch = frames.batch(0)
        before = net(batch.left, batch.right)[1].clone()
    fitted = calibrate(net, frames, first_step=0, batches=2)
    net.scale_certainty(1.5, 1.0)
    again = calibrate(net, frames, first_step=0, batches=2)
    assert again.gain == pytest.approx(2 / 3, rel=0.03) and again.bias == pytest.approx(-2 / 3, abs=0.05), "undone"
    with torch.inference_mode():
        after = net(batch.left, batch.right)[1]
    expected = torch.sigmoid(fitted.gain * torch.logit(before) + fitted.bias)
    assert (after - expected).abs().max() < 0.03
