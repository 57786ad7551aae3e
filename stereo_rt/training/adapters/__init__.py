"""Other projects' networks as teachers: the user's own clone of a project's code, and one of its checkpoints.

One module a project. It states where code and weights come from and under which licence, builds the network as the
project's own demonstration does, and gives its answer in our units. Nothing of theirs is part of this package.

clone.py: importing a clone, its weights; matcher.py: a network of theirs as a Matcher.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra, ModelError, UsageError

if TYPE_CHECKING:
    from .clone import Project

ADAPTERS = {
    "raft_stereo": f"{__name__}.raft_stereo:make",
    "crestereo": f"{__name__}.crestereo:make",
    "defom_stereo": f"{__name__}.defom_stereo:make",
    "selective_igev": f"{__name__}.selective_igev:make",
    "igev_plusplus": f"{__name__}.igev_plusplus:make",
    "foundation_stereo": f"{__name__}.foundation_stereo:make",
    "depth_anything": f"{__name__}.depth_anything:make",
}
"""name -> MODULE:FUNCTION; the function is make(clone, checkpoint, device)."""
MONO = frozenset({"depth_anything"})
"""Those that see one eye: their make gives a MonoNetwork (mono/base.py). The others give a Matcher."""


def open_adapter(name: str, clone: Path | None, checkpoint: Path | None, device: str) -> Any:
    """The network of that name: a Matcher, or a MonoNetwork where the name is in MONO.

    clone: folder of the project's code. checkpoint: file of its weights. device: as in --device.
    Raises UsageError, ModelError, MissingExtra: what is missing, and where to get it.
    """
    try:  # before the adapter's module, which imports them
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra(f"the teacher {name}", "train") from None
    module, _, function = ADAPTERS[name].partition(":")
    adapter = importlib.import_module(module)
    project: Project = adapter.PROJECT
    if clone is None or checkpoint is None:
        named = "--teacher-clone DIR and --teacher-checkpoint FILE"
        if name in MONO:
            named = "--set post.mono_clone=DIR and --set post.mono_checkpoint=FILE"
        raise UsageError(f"{name} needs the code and the weights of {project.title}, {named}: {project.where}")
    if not (clone / project.folder / project.file).is_file():
        what = f"is no clone of {project.title}, it lacks {project.folder / project.file}" if clone.is_dir() else "is no folder"
        raise ModelError(f"{clone}: {what}; get it with: git clone {project.url}")
    if not checkpoint.is_file():
        raise ModelError(f"{checkpoint}: there is no such file; {project.title}'s weights: {project.weights}")
    return getattr(adapter, function)(clone, checkpoint, device)
