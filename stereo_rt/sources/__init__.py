"""Where stereo pairs come from. open_source() reads what the user typed; one file per kind does the rest."""

from __future__ import annotations

from typing import cast

from ..config import CaptureConfig
from .base import Source, SourceState, SourceStatus
from .uri import SourceUri, parse_source

__all__ = ["Source", "SourceState", "SourceStatus", "SourceUri", "open_source", "parse_source"]


def open_source(uri: str, capture: CaptureConfig | None = None, *, realtime: bool = False) -> Source:
    """Open what `uri` names (grammar in sources/uri.py). realtime: recordings play at their own pace.

    Raises SourceError: what is wrong, and the next command; MissingExtra.
    """
    capture = capture or CaptureConfig()
    source = _open(parse_source(uri), capture, realtime)
    return cast(Source, _swapped(source)) if capture.swap else source


def _open(uri: SourceUri, capture: CaptureConfig, realtime: bool) -> Source:
    # Each kind is imported only when asked for.
    if uri.kind == "synthetic" and uri.paths == ("board",):
        from .synthetic_board import open_board

        return open_board(uri, capture, realtime)
    if uri.kind == "synthetic":
        from .synthetic import open_synthetic

        return open_synthetic(uri, capture, realtime)
    if uri.kind == "images":
        from .images import ImageReel
        from .recording import Recording

        return Recording(uri.text, ImageReel(uri, capture), loop=capture.loop, realtime=realtime)
    if uri.kind == "video":
        from .recording import Recording
        from .video import open_video

        return Recording(uri.text, open_video(uri, capture), loop=capture.loop, realtime=realtime)
    if uri.kind == "v4l2":
        from .uvc import open_uvc

        return open_uvc(uri, capture)
    if uri.kind == "csi":
        from .gstreamer import open_csi

        return open_csi(uri, capture)
    if uri.kind == "gstreamer":
        from .gstreamer import open_gstreamer

        return open_gstreamer(uri, capture)
    if uri.kind == "rtsp":
        from .rtsp import open_rtsp

        return open_rtsp(uri, capture)
    from .bag import open_recording

    return open_recording(uri, capture, realtime)


def _swapped(source: Source) -> object:
    from .swap import Swapped

    return Swapped(source)
