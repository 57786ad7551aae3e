"""Document: a calibration file as text and as a tree of plain values. Hostile files end here, with one sentence.

OpenCV's own FileStorage is not used: it is native code that was not made for files from strangers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from ...errors import CalibrationError

MAX_BYTES = 1 << 18
"""Real calibrations take a few kB; the YAML parser takes seconds for a hostile file of this size."""


@dataclass(frozen=True)
class Document:
    path: Path
    text: str

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The top-level mapping of a YAML, JSON or OpenCV XML text; empty when the top is something else.

        Raises CalibrationError when the text is none of these.
        """
        start = self.text.lstrip()[:1]
        name, parse = ("XML", _xml) if start == "<" else ("JSON", json.loads) if start == "{" else ("YAML", _yaml)
        try:
            tree = parse(self.text)
        except Exception as e:  # the parsers let many types out on ill-formed text: KeyError, AttributeError, RecursionError...
            mark = getattr(e, "problem_mark", None)
            line = mark.line + 1 if mark else getattr(e, "lineno", None)
            where = f" at line {line}" if line else ""
            raise CalibrationError(f"is not valid {name}{where}; the file looks truncated or damaged, copy it again") from None
        return tree if isinstance(tree, dict) else {}

    def partner(self, own: str, other: str) -> Document | None:
        """The file beside this one whose name has `other` where this has `own` (or the reverse); None without one."""
        for a, b in ((own, other), (other, own)):
            sibling = self.path.with_name(self.path.name.replace(a, b))
            if a in self.path.name and sibling.is_file():
                return load(sibling)
        return None


def load(path: Path) -> Document:
    """Read a text file of sensible size. Raises CalibrationError."""
    try:
        if not path.is_file():
            raise CalibrationError(f"there is no file {path.name}; check the path")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        raise CalibrationError(f"{path.name} cannot be read ({getattr(e, 'strerror', None) or e}); check the path") from None
    if len(data) > MAX_BYTES:
        raise CalibrationError(f"{path.name} is larger than {MAX_BYTES >> 10} KiB, which no calibration is; check the path")
    if not data.strip():
        raise CalibrationError(f"{path.name} is empty; copy it again")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise CalibrationError(f"{path.name} is binary, and every calibration read here is text; check the path")
    return Document(path, text)


class _Loader(yaml.SafeLoader):
    """Safe YAML with OpenCV's matrices as plain mappings, and without merge keys (they can grow a file exponentially)."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        pass


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
    return loader.construct_mapping(node, deep=True)


MATRIX_TAGS = ("opencv-matrix", "opencv-nd-matrix")
for _tag in MATRIX_TAGS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _mapping)


def _yaml(text: str) -> Any:
    # OpenCV heads its files with %YAML:1.0, which is no directive that YAML knows.
    return yaml.load(re.sub(r"\A%YAML:.*", "", text), Loader=_Loader)


def _xml(text: str) -> Any:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("entities are refused")
    return {child.tag: _element(child) for child in ElementTree.fromstring(text)}


def _element(node: ElementTree.Element) -> Any:
    """A matrix as OpenCV's YAML has it, else the words of a leaf."""
    if node.get("type_id") in MATRIX_TAGS:
        return {child.tag: _words(child) for child in node}
    return _words(node)


def _words(node: ElementTree.Element) -> Any:
    words = (node.text or "").split()
    return words[0] if len(words) == 1 else words
