"""Several ways to tell right pixels from wrong ones, on a rendered pair whose truth is known: how wrong is what each keeps?

    python docs/examples/confidence.py [METHOD ...]       such as: learned photometric test_time_augmentation

mc_dropout and entropy look inside the network: they need torch.
"""

import sys

import numpy as np

from stereo_rt import Config, create_matcher
from stereo_rt.confidence import Evidence, Need, find_method
from stereo_rt.sources.synthetic import SyntheticCamera

methods = [find_method(name) for name in sys.argv[1:] or ("learned", "left_right", "photometric", "variance")]
inside = any(method.need in (Need.NETWORK, Need.DISTRIBUTION) for method in methods)
matcher = create_matcher(Config().match.model_copy(update={"backend": "torch" if inside else "onnx"}))

camera = SyntheticCamera(size=(640, 480), seed=4)
frame = camera.frame(0)
found = matcher(frame.left, frame.right)
wrong = np.abs(found.disparity_px - camera.ground_truth(0).disparity_px) > 2
print(f"all pixels: {wrong.mean():.1%} are more than 2 px off")
for method in methods:
    score = method.score(Evidence(frame.left, frame.right, found, matcher))
    kept = score >= np.quantile(score, 0.2)
    print(f"without the 20 % that {method.name} trusts least: {wrong[kept].mean():.1%}")
matcher.close()
