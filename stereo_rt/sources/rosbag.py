"""Bags of ROS 1, as a Bag. The rosbags package reads them without ROS."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from ..rosmsg import DEFINITIONS
from .bag import Topic, damage_said
from .uri import show


class Ros1Bag:
    """An open file. Raises SourceError for what is no bag, or is cut short or damaged; MissingExtra."""

    calibration_yaml: str | None = None

    def __init__(self, path: str) -> None:
        try:
            from rosbags.rosbag1 import Reader
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise MissingExtra("reading ROS 1 bags", "bag") from None
        self.name = show(path)
        self._types = get_typestore(Stores.ROS1_NOETIC)
        with self._said():
            self._reader = Reader(Path(path))
            self._reader.open()
            self.duration_s: float | None = self._reader.duration / 1e9 if self._reader.connections else None
            self.topics: dict[str, Topic] = {}
            for connection in self._reader.connections:
                kind = connection.msgtype.replace("/msg/", "/")
                before = self.topics.get(connection.topic)
                count = connection.msgcount + (before.count or 0 if before else 0)
                self.topics[connection.topic] = Topic(kind, count, kind in DEFINITIONS)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        with self._said():
            wanted = [c for c in self._reader.connections if c.topic in topics]
            for connection, time_ns, data in self._reader.messages(wanted):
                yield connection.topic, time_ns, self._types.deserialize_ros1(data, connection.msgtype)

    def close(self) -> None:
        if self._reader.bio is not None:
            self._reader.close()

    def _said(self) -> AbstractContextManager[None]:
        return damage_said(
            self.name,
            "is no ROS 1 bag, or is cut short or damaged; "
            f"an unfinished one is repaired by: rosbag reindex {shlex.quote(self.name)}",
        )
