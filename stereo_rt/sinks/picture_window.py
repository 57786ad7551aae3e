"""PictureWindow: a picture that changes, and commands by key, on a display; see window.py for the viewer's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import cv2
import numpy as np

from ..versions import Versioned
from .window import GROUND, POLL_S, open_display

RENEW_S = 0.5
"""A picture is drawn again after this long even without a change: a message in it may have had its time."""


class PictureWindow:
    """Shows `picture()` whenever `changes` has a new version. Make it and run it on the main thread.

    commands: by key name, as pygame has it. Raises MissingExtra without pygame-ce.
    """

    def __init__(
        self,
        changes: Versioned,
        picture: Callable[[], np.ndarray | None],
        commands: Mapping[str, Callable[[], object]],
        title: str,
    ) -> None:
        self._changes, self._picture, self._commands = changes, picture, commands
        self._pg: Any = open_display()
        self._shown: tuple[object, Any] = (None, None)
        self._shown_s = 0.0
        desktop = self._pg.display.get_desktop_sizes()[0]
        size = min(1280, int(desktop[0] * 0.9)), min(640, int(desktop[1] * 0.88))
        self._pg.display.set_mode(size, self._pg.RESIZABLE)
        self._pg.display.set_caption(title)

    def run(self, until: Callable[[], bool]) -> None:
        """Until the user closes the window, or `until()` is true. The window closes on the way out."""
        version = -1
        try:
            while self._handle_events() and not until():
                version = self._changes.wait(version, POLL_S)
                self.draw()
        finally:
            self._pg.quit()

    def draw(self) -> None:
        screen = self._pg.display.get_surface()
        screen.fill(GROUND)
        surface = self._fitted(screen.get_size())
        if surface is not None:
            corner = ((whole - part) // 2 for whole, part in zip(screen.get_size(), surface.get_size(), strict=True))
            screen.blit(surface, tuple(corner))
        self._pg.display.flip()

    def _fitted(self, room: tuple[int, int]) -> Any:
        """The picture as a surface that fits in `room`, drawn anew only when it has changed; None before the first."""
        made_of, now_s = (self._changes.version, room), monotonic()
        if made_of != self._shown[0] or now_s - self._shown_s > RENEW_S:
            image = self._picture()
            self._shown, self._shown_s = (made_of, None if image is None else self._surface(image, room)), now_s
        return self._shown[1]

    def _surface(self, image: np.ndarray, room: tuple[int, int]) -> Any:
        scale = min(room[0] / image.shape[1], room[1] / image.shape[0])
        size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
        fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return self._pg.image.frombuffer(fitted.tobytes(), size, "BGR").convert()

    def _handle_events(self) -> bool:
        """False once the user closed the window."""
        for event in self._pg.event.get():
            if event.type == self._pg.QUIT:
                return False
            if event.type == self._pg.KEYDOWN:
                command = self._commands.get(event.unicode) or self._commands.get(self._pg.key.name(event.key))
                if command is not None:
                    command()
        return True
