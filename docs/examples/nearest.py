"""The loop with a consumer of our own: how near is the nearest thing that is sure, in every frame?

python docs/examples/nearest.py [SOURCE [CALIB]]      such as: v4l2:///dev/video0,/dev/video2 rig.yaml
"""

import sys
from pathlib import Path

import numpy as np

from stereo_rt import Config, DepthResult
from stereo_rt.session import open_session


class Nearest:
    name, lossless = "nearest", False  # it wants the newest frame, not every frame

    def write(self, result: DepthResult) -> None:
        depth_m = result.depth_m[np.isfinite(result.depth_m)]  # NaN where it is masked
        near = f"{np.percentile(depth_m, 1):.2f} m" if depth_m.size else "nothing sure"
        print(f"frame {result.index}: {near}")

    def close(self) -> None:
        pass


source, *calibration = sys.argv[1:] or ["synthetic://room?frames=5"]
config = Config()
if calibration:
    config = config.model_copy(update={"calib": config.calib.model_copy(update={"file": Path(calibration[0])})})
open_session(source, config, offline=False, sinks=[Nearest()]).run()
