"""Telemetry on trees laid out as sysfs does it, NVML by its documented calls, and the sampler."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from stereo_rt.telemetry import Sampler, find_probes, jetson, linux, nvml


def tree(root: Path, files: dict[str, str | int]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


def read(root: Path) -> dict[str, float]:
    return {name: value for probe in find_probes(root) for name, value in probe().items()}


def test_an_empty_machine_has_no_probes_of_the_kernel(tmp_path: Path) -> None:
    assert linux.probes(tmp_path) == [] and jetson.probes(tmp_path) == []


def test_clocks_and_temperatures_of_a_pc(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    zone = "sys/class/thermal/thermal_zone"
    tree(
        tmp_path,
        {
            f"{cpu}/cpu0/cpufreq/scaling_cur_freq": 800000,
            f"{cpu}/cpu1/cpufreq/scaling_cur_freq": 3400000,
            f"{cpu}/cpufreq/boost": 1,
            f"{zone}0/type": "x86_pkg_temp",
            f"{zone}0/temp": 52500,
            f"{zone}1/type": "asleep",
            f"{zone}1/temp": -256000,
            f"{zone}2/type": "no_reading",
        },
    )
    found = {name: value for probe in linux.probes(tmp_path) for name, value in probe().items()}
    assert found == {"cpu_clock_mhz": 3400.0, "x86_pkg_temp_c": 52.5}


def test_power_from_energy_counters_that_wrap(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    tree(tmp_path, {f"{zone}/name": "package-0", f"{zone}/energy_uj": 9_000_000, f"{zone}/max_energy_range_uj": 10_000_000})
    tree(tmp_path, {f"{zone}:0/name": "core", f"{zone}:0/energy_uj": 1})
    assert len(linux.probes(tmp_path)) == 1, "a subzone is part of its package"
    now = [100.0]
    rapl = linux.RaplZone(tmp_path / zone, lambda: now[0])
    now[0], steps = 102.0, [(9_500_000, 0.25), (500_000, 0.5)]
    for energy, watts in steps:
        tree(tmp_path, {f"{zone}/energy_uj": energy})
        assert rapl() == {"package-0_power_w": pytest.approx(watts)}
        now[0] += 2
    (tmp_path / zone / "energy_uj").unlink()
    assert rapl() == {}


def test_counters_of_root_only_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, {"sys/class/powercap/intel-rapl:0/name": "package-0"})
    assert linux.probes(tmp_path) == []


@pytest.mark.parametrize("node", ["17000000.gpu", "17000000.ga10b", "17000000.gv11b"])
def test_rails_and_gpu_of_a_jetson(tmp_path: Path, node: str) -> None:
    """hwmon3 and the devfreq node as JetPack 5 and 6 have them on an Orin; links are followed."""
    monitor = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040/hwmon/hwmon3"
    tree(
        tmp_path,
        {
            f"{monitor}/name": "ina3221",
            f"{monitor}/in1_label": "VDD_IN",
            f"{monitor}/in1_input": 5000,
            f"{monitor}/curr1_input": 1500,
            f"{monitor}/in2_label": "VDD_CPU_GPU_CV",
            f"{monitor}/in2_input": 5000,
            f"{monitor}/curr2_input": 400,
            f"{monitor}/in3_label": "NC",
            f"{monitor}/in3_input": 0,
            f"{monitor}/curr3_input": 0,
            f"{monitor}/in7_label": "sum of shunt voltages",
            "sys/class/hwmon/hwmon0/name": "nvme",
            f"sys/devices/platform/bus@0/{node}/load": 437,
            f"sys/class/devfreq/{node}/cur_freq": 612000000,
            "sys/class/thermal/thermal_zone8/type": "tj-thermal",
            "sys/class/thermal/thermal_zone8/temp": 48031,
        },
    )
    (tmp_path / "sys/class/hwmon/hwmon3").symlink_to(tmp_path / monitor)
    (tmp_path / f"sys/class/devfreq/{node}/device").symlink_to(tmp_path / f"sys/devices/platform/bus@0/{node}")
    found = read(tmp_path)
    assert (
        found
        | {
            "VDD_IN_power_w": 7.5,
            "VDD_CPU_GPU_CV_power_w": 2.0,
            "gpu_clock_mhz": 612.0,
            "gpu_load_percent": 43.7,
            "tj-thermal_c": 48.031,
        }
        == found
    )
    assert not any("NC" in name for name in found)


class NvmlError(Exception):
    pass


def board(**more: object) -> SimpleNamespace:
    """An NVML module with one GPU, by the calls that NVIDIA documents."""

    def unsupported(*_: object) -> None:
        raise NvmlError

    known = {
        "NVMLError": NvmlError,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "nvmlDeviceGetHandleByIndex": lambda k: f"gpu {k}",
        "nvmlDeviceGetPowerUsage": lambda handle: 43_210,
        "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        "nvmlDeviceGetClockInfo": lambda handle, clock: {1: 1980, 2: 3201}[clock],
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=97),
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=3 << 30),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=512 << 20),
            SimpleNamespace(pid=1, usedGpuMemory=9 << 30),
        ],
    }
    return SimpleNamespace(**known | {name: unsupported if value is None else value for name, value in more.items()})


def test_a_gpu_by_nvml() -> None:
    assert nvml.GpuProbe(board(), 0)() == {
        "gpu0_power_w": 43.21,
        "gpu0_temperature_c": 61,
        "gpu0_clock_mhz": 1980,
        "gpu0_memory_clock_mhz": 3201,
        "gpu0_load_percent": 97,
        "gpu0_memory_mb": 3072,
        "gpu0_own_memory_mb": 512,
    }


def test_what_a_board_or_a_container_hides_is_left_out() -> None:
    hidden = board(
        nvmlDeviceGetPowerUsage=None,
        nvmlDeviceGetUtilizationRates=None,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)],
    )
    names = nvml.GpuProbe(hidden, 1)().keys()
    assert names == {"gpu1_temperature_c", "gpu1_clock_mhz", "gpu1_memory_clock_mhz", "gpu1_memory_mb"}


def test_the_calls_are_those_of_the_real_package() -> None:
    real = pytest.importorskip("pynvml")
    missing = [name for name in vars(board()) if not hasattr(real, name)]
    assert missing == []
    for name in ("nvmlInit", "nvmlDeviceGetCount", "nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2"):
        assert hasattr(real, name)


def test_without_the_package_or_a_driver_there_is_nothing() -> None:
    """On a machine that has both, names are told; on any other, nothing is, and nothing is raised."""
    assert set(nvml.versions()) in ({"nvidia_driver", "cuda_driver"}, set())
    assert bool(nvml.versions()) == bool(nvml.probes())


def test_the_sampler_reads_in_the_background_and_sums_up() -> None:
    values, enough = iter([4.0, 8.0, 6.0]), threading.Event()

    def probe() -> dict[str, float]:
        value = next(values, None)
        if value is None:
            enough.set()
            return {}
        return {"board_power_w": value}

    with Sampler([probe], period_s=0.001) as sampler:
        assert enough.wait(60)
    assert sampler.summary() == {"board_power_w": {"min": 4.0, "mean": 6.0, "max": 8.0}}


def test_a_short_run_has_one_reading_and_no_probes_make_no_thread() -> None:
    with Sampler([lambda: {"a_w": 1.0}], period_s=3600) as sampler:
        pass
    assert sampler.summary() == {"a_w": {"min": 1.0, "mean": 1.0, "max": 1.0}}
    before = threading.active_count()
    with Sampler([]) as idle:
        assert threading.active_count() == before
    assert idle.summary() == {}
