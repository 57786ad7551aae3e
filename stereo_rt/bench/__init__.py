"""The benchmark: the network alone, each stage alone, the loop flat out and at a camera's rate, in one run on one machine.

run.py      what is measured, and in which order         report.py    what comes out
stages.py   each stage by itself                         compare.py   against an earlier report
loop.py     the whole loop, from memory or a camera      machine.py   what it was measured on
overhead.py the loop around a matcher that costs nothing reference.py how fast the machine is right now
accuracy.py depth against the truth, cut by confidence   wall.py      depth against a wall at a known distance
roofline.py what a device could do at best               plot.py      the picture
"""

from __future__ import annotations

from .report import BenchReport
from .run import run_bench

__all__ = ["BenchReport", "run_bench"]
