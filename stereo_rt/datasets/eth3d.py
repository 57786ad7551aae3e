"""ETH3D, low-resolution two-view: grey images, indoors and outdoors, measured by a laser scanner.

two_view_training/SCENE/{im0,im1}.png
two_view_training_gt/SCENE/disp0GT.pfm, mask0nocc.png (255: both eyes see the point); or these in the scene's own folder
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .labelled import Labelled, below, folders_with
from .middlebury import read_modern

LOOKS_FOR = "two_view_training/SCENE/im0.png with two_view_training_gt/SCENE/disp0GT.pfm"


def find(folder: Path) -> list[Labelled]:
    found, folder = [], folder.resolve()  # "." has no sibling
    for scene in folders_with(folder, ("im0.png",), depth=3):
        for home in (scene, scene.parent.parent / f"{scene.parent.name}_gt" / scene.name):
            if (home / "disp0GT.pfm").exists():
                files = home / "disp0GT.pfm", home / "disp1GT.pfm"
                found.append(Labelled(below(folder, scene), partial(read_modern, scene, *files)))
                break
    return found
