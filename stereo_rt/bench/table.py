"""The benchmark on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from .compare import Comparison
from .reference import KINDS
from .report import BenchReport, Figures, MatcherBench
from .wall import WallFigures

COLUMNS = ("min", "p50", "p90", "p95", "p99", "max")


def print_report(report: BenchReport, console: Console) -> None:
    m = report.machine
    packages = ("onnxruntime", "tensorrt", "tensorrt_rtx", "openvino", "torch", "opencv", "nvidia_driver", "cuda_driver")
    console.print(f"{m['gpu'] or m['cpu']}, {m['cores']} cores, load {report.load or 0:.1f}; " + _size(report))
    if (report.load or 0) > m["cores"]:
        console.print("more processes than cores wanted to run: the figures are upper bounds", style="yellow")
    console.print(", ".join(f"{name} {m[name]}" for name in packages if name in m), style="dim")
    for run in report.runs:
        console.print(_timings(run))
        for line in _sentences(run):
            console.print(line)
        if run.accuracy:
            console.print(_accuracy(run))
    first, *others = report.runs
    for other in others:
        key = "network_ms" if first.network_ms and other.network_ms and not first.alone_ms else "alone_ms"
        mine, theirs = (run.network_ms if key == "network_ms" else run.alone_ms.get("match", {}) for run in (first, other))
        if mine and theirs:
            ratio = mine["p50"] / theirs["p50"]
            console.print(
                f"matching: {first.matcher} on {first.backend} takes {ratio:.2f} times as long as "
                f"{other.matcher} on {other.backend}"
            )
    if report.overhead:
        o = report.overhead
        console.print(
            f"around the network, per frame, without rectification and display: {o.cpu_ms:.2f} ms of processor time, "
            f"{o.wall_ms:.2f} ms between results ({o.post_ms:.2f} ms post)"
        )
    for name, figures in report.telemetry.items():
        console.print(f"{name}: {figures['mean']:.1f} ({figures['min']:.1f} to {figures['max']:.1f})", style="dim")
    console.print(f"peak memory {report.peak_memory_mb:.0f} MB")


def print_wall(found: WallFigures, console: Console) -> None:
    temporal = "one frame only" if found.sigma_temporal_m is None else f"{found.sigma_temporal_m * 1e3:.1f} mm"
    console.print(
        f"wall at {found.known_m:g} m: measured {found.distance_m:.4f} m, "
        f"bias {found.bias_m * 1e3:+.1f} mm ({found.bias_percent:+.2f} %), tilted by {found.tilt_deg:.1f} degrees"
    )
    console.print(
        f"scatter: {temporal} from frame to frame, {found.sigma_spatial_m * 1e3:.1f} mm across the wall; "
        f"fill {found.fill_percent:.1f} % of the middle, {found.frames} frames"
    )


def print_comparison(found: Comparison, limit: float, console: Console) -> None:
    table = Table("best, ms", "before", "after", "by the clock", "by the reference", "", title=f"limit +{100 * limit:g} %")
    for c in found.changes:
        ratios = (f"{100 * (ratio - 1):+.1f} %" for ratio in (c.by_clock, c.by_reference))
        table.add_row(c.name, f"{c.before_ms:.3f}", f"{c.after_ms:.3f}", *ratios, "slower" if c.slower else "")
    console.print(table)
    if found.versions:
        console.print("also different: " + "; ".join(found.versions))
    if found.unsteady:
        one, all_ = (f"{found.reference[kind]:.2f}" for kind in KINDS)
        console.print(f"the machine itself took {one} times as long as before for fixed work on one core, {all_} on all")
    if found.busy:
        console.print("more processes than cores wanted to run: differences of tens of percent mean little here")


def _size(report: BenchReport) -> str:
    size = "x".join(map(str, report.frame_size))
    return f"frames {size} from {report.source}" if any(report.frame_size) else "prepared inputs"


def _timings(run: MatcherBench) -> Table:
    hash_ = f", sha256 {run.sha256[:12]}" if run.sha256 else ""
    engine = f", engine {run.engine[:12]}" if run.engine else ""
    table = Table("ms", *COLUMNS, title=f"{run.matcher} on {run.backend}, grid {run.grid[0]}x{run.grid[1]}{hash_}{engine}")
    for name, figures in timed(run):
        table.add_row(name, *(f"{figures[k]:.2f}" for k in COLUMNS))
    return table


def timed(run: MatcherBench) -> Iterator[tuple[str, Figures]]:
    """(what, its figures in ms) of all that was timed with a matcher, in the order of the loop."""
    if run.network_ms:
        yield "network alone", run.network_ms
    for stage, figures in run.alone_ms.items():
        yield f"{stage} alone", figures
    for stage, figures in (run.flat_out.stage_ms if run.flat_out else run.live.stage_ms if run.live else {}).items():
        yield f"{stage} in the loop", figures
    if run.live:
        yield f"frame age at {run.live_rate_hz:g} Hz" if run.live_rate_hz else "frame age", run.live.age_ms


def _sentences(run: MatcherBench) -> Iterator[str]:
    if run.flat_out:
        flat = run.flat_out
        yield f"flat out {flat.fps:.1f} fps (best stretch {flat.best_fps:.1f}), {run.efficiency:.2f} of its slowest stage alone"
    if run.live:
        live = run.live
        rate = f"at {run.live_rate_hz:g} Hz" if run.live_rate_hz else "live"
        yield (
            f"{rate}: {live.fps:.1f} fps, {live.sent - live.frames} of {live.sent} frames missed, jitter "
            f"{live.jitter_ms.get('mean', 0):.1f} ms (max {live.jitter_ms.get('max', 0):.1f}), age p99 {run.periods_p99:.2f} "
            f"periods; the HUD said {live.hud_fps:.1f} fps and {live.hud_age_p99_ms:.1f} ms p99"
        )


def _accuracy(run: MatcherBench) -> Table:
    table = Table(
        "confidence >=", "kept %", "EPE px", "bad-1 %", "bad-2 %", "depth off: p50 %", "p95 %", title="against the truth"
    )
    for row in run.accuracy:
        values = (row.epe_px, row.bad1, row.bad2, row.depth_p50_percent, row.depth_p95_percent)
        cells = ("-" if v is None else f"{v:.2f}" for v in values)
        table.add_row(f"{row.cut:.1f}", f"{row.kept_percent:.1f}", *cells)
    return table
