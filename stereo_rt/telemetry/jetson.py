"""NVIDIA Jetson: the INA3221 power monitors, and the GPU's clock and load. Temperatures are thermal zones, see linux.py.

Rails are named by the board, such as VDD_IN (all of an Orin Nano or NX), VDD_CPU_GPU_CV, VDD_SOC, VIN_SYS_5V0.
Kernel documentation: hwmon/ina3221 (in[123]_label, in[123]_input in mV, curr[123]_input in mA).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .sysfs import number, text

GPUS = ("gpu", "ga10b", "gv11b", "gp10b")
"""How JetPack 4 to 7 name the GPU's node: 17000000.gpu, 17000000.ga10b, 17000000.gv11b, ..."""


def probes(root: Path) -> list[Callable[[], dict[str, float]]]:
    monitors = [m for m in sorted(root.glob("sys/class/hwmon/hwmon[0-9]*")) if text(m / "name") == "ina3221"]
    nodes = [n for n in sorted(root.glob("sys/class/devfreq/*")) if n.name.rpartition(".")[2] in GPUS]
    found: list[Callable[[], dict[str, float]]] = []
    if monitors:
        found.append(lambda: _rails(monitors))
    if nodes:
        found.append(lambda: _gpu(nodes[0]))
    return found


def _rails(monitors: list[Path]) -> dict[str, float]:
    watts = {}
    for monitor in monitors:
        for channel in (1, 2, 3):
            label = text(monitor / f"in{channel}_label")
            millivolts, milliamps = number(monitor / f"in{channel}_input"), number(monitor / f"curr{channel}_input")
            if label and label != "NC" and millivolts is not None and milliamps is not None:
                watts[f"{label}_power_w"] = millivolts * milliamps / 1e6
    return watts


def _gpu(node: Path) -> dict[str, float]:
    hertz, load = number(node / "cur_freq"), number(node / "device/load")
    clock = {} if hertz is None else {"gpu_clock_mhz": hertz / 1e6}
    return clock if load is None else clock | {"gpu_load_percent": load / 10}
