"""MCAP recordings of ROS 2, as a Bag."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..calib.formats.document import MAX_BYTES
from ..errors import MissingExtra, SourceError
from ..rosmsg import DEFINITIONS
from .bag import Topic, damage_said
from .uri import show

CALIBRATION = "stereo_rt.calib.yaml"
"""The attachment in which our recorder keeps the calibration, with all that CameraInfo has no room for."""


class McapBag:
    """An open file. Messages are decoded by our own definitions, whatever the file says they are.

    Raises SourceError for what is no MCAP, or is cut short or damaged; MissingExtra.
    """

    def __init__(self, path: str) -> None:
        try:
            from mcap.reader import SeekingReader
            from mcap.records import Schema
            from mcap_ros2.decoder import DecoderFactory
        except ImportError:
            raise MissingExtra("reading MCAP recordings", "mcap") from None
        self.name = show(path)
        factory = DecoderFactory()
        self._decoders: dict[str, Callable[[bytes], Any]] = {}
        for number, (kind, text) in enumerate(DEFINITIONS.items(), 1):
            decoder = factory.decoder_for("cdr", Schema(number, text.encode(), "ros2msg", kind))
            assert decoder is not None
            self._decoders[kind] = decoder
        try:
            self._file = Path(path).open("rb")  # noqa: SIM115 - close() closes it
        except OSError as e:
            raise SourceError(f"{self.name}: cannot be read ({e.strerror}); look with: ls -l {self.name}") from None
        try:
            with self._said():
                self._size = Path(path).stat().st_size  # no record is larger, whatever a damaged header says
                self._reader = SeekingReader(self._file, validate_crcs=True, record_size_limit=self._size)
                self._reader.get_header()
                self._summary = self._reader.get_summary()
                self._indexed = self._summary is not None and bool(self._summary.chunk_indexes)
                self.topics, self.duration_s = self._contents()
        except BaseException:
            self._file.close()
            raise

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        with self._said():
            # Without an index the library would sort by loading the whole file.
            for _, channel, message in self._reader.iter_messages(list(topics), log_time_order=self._indexed):
                kind = self.topics[channel.topic].kind
                yield channel.topic, message.log_time, self._decoders[kind](message.data)

    @property
    def calibration_yaml(self) -> str | None:
        kept = self._summary.attachment_indexes if self._summary is not None else ()
        if not any(index.name == CALIBRATION and index.data_size <= MAX_BYTES for index in kept):
            return None
        with self._said():
            return next(a.data for a in self._reader.iter_attachments() if a.name == CALIBRATION).decode()

    def close(self) -> None:
        self._file.close()

    def _contents(self) -> tuple[dict[str, Topic], float | None]:
        """The topics, and the time between the first and the last message in s: from the index, else from all there is."""
        counts: dict[int, int] | None = None
        duration_s = None
        if self._summary is None or not self._summary.channels:
            schemas, channels, counts, duration_s = self._scan()
        else:
            schemas, channels = self._summary.schemas, self._summary.channels
            if statistics := self._summary.statistics:
                counts = statistics.channel_message_counts
                duration_s = (statistics.message_end_time - statistics.message_start_time) / 1e9
        topics: dict[str, Topic] = {}
        for channel in channels.values():  # several may share a topic
            schema = schemas.get(channel.schema_id)
            kind = schema.name.replace("/msg/", "/") if schema else "unknown"
            readable = channel.message_encoding == "cdr" and kind in self._decoders
            before = topics.get(channel.topic)
            count = None if counts is None else counts.get(channel.id, 0) + ((before and before.count) or 0)
            topics[channel.topic] = Topic(kind, count, readable)
        return topics, duration_s

    def _scan(self) -> tuple[dict[int, Any], dict[int, Any], dict[int, int], float]:
        """Schemas, channels and messages by their numbers, and the duration in s, of a file without an index."""
        from mcap.records import Channel, Message, Schema
        from mcap.stream_reader import StreamReader

        schemas: dict[int, Any] = {}
        channels: dict[int, Any] = {}
        counts: Counter[int] = Counter()
        first_ns, last_ns = sys.maxsize, 0
        self._file.seek(0)
        for record in StreamReader(self._file, validate_crcs=True, record_size_limit=self._size).records:
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                counts[record.channel_id] += 1
                first_ns, last_ns = min(first_ns, record.log_time), max(last_ns, record.log_time)
        return schemas, channels, counts, max(last_ns - first_ns, 0) / 1e9

    def _said(self) -> AbstractContextManager[None]:
        return damage_said(
            self.name,
            "is no MCAP recording, or is cut short or damaged; "
            f"what is whole can be saved with: mcap recover {shlex.quote(self.name)} -o repaired.mcap",
        )
