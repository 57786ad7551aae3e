"""`stereo-rt calibrate convert`: a calibration in another tool's format."""

from __future__ import annotations

from typing import Annotated

import typer


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Calibration in any format we read, or left.yaml,right.yaml.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="New file, or left.yaml,right.yaml for ROS.")],
    to: Annotated[
        str | None, typer.Option("--to", help="ours, opencv, ros, kalibr, oak, zed, kitti or middlebury; by OUT's name.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Image size, where IN states none.")] = None,
) -> None:
    """Write a calibration in another format, and say what that format cannot carry.

    Without --to: rig.yaml is ours, *.yml OpenCV, left.yaml,right.yaml ROS, *camchain*.yaml Kalibr, *.json OAK, *.conf ZED,
    *cam_to_cam*.txt KITTI, other *.txt Middlebury.
    """
    from ...calib.convert import convert as work
    from ...errors import UsageError

    frame_size = None
    if size is not None:
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise UsageError(f"--size {size}: expected WIDTHxHEIGHT, such as 1280x720")
        frame_size = int(width), int(height)
    kind, losses = work(source, out, to, frame_size)
    typer.echo(f"{out}: written as {kind}; {'not carried:' if losses else 'nothing was lost'}")
    for loss in losses:
        typer.echo(f"  {loss}")
