"""One pair of images as arrays: disparity and confidence, kept as NPY and as a picture.

python docs/examples/pair.py left.png right.png [MODEL]
"""

import sys

import cv2
import numpy as np

from stereo_rt import Config, create_matcher
from stereo_rt.render import colorize

left, right = (cv2.imread(path) for path in sys.argv[1:3])
match = Config().match.model_copy(update={"model": sys.argv[3]} if len(sys.argv) > 3 else {})
matcher = create_matcher(match)
found = matcher(left, right)
matcher.close()

np.save("disparity_px.npy", found.disparity_px)
np.save("confidence.npy", found.confidence)
sure = found.confidence >= 0.5
cv2.imwrite("disparity.png", colorize(found.disparity_px, 0, np.nanmax(found.disparity_px), valid=sure))
low, high = np.nanpercentile(found.disparity_px[sure], (1, 99))
print(f"{matcher.spec.name}: sure of {sure.mean():.0%} of the pixels, between {low:.1f} and {high:.1f} px")
