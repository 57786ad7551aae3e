"""PictureWindow: a picture that changes, and commands by key, on a display; see window.py for the viewer's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from ..versions import Versioned
from .window import GROUND, POLL_S, open_display


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
        self._pg = open_display()
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
        image = self._picture()
        if image is not None:
            scale = min(screen.get_width() / image.shape[1], screen.get_height() / image.shape[0])
            size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
            fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            corner = (screen.get_width() - size[0]) // 2, (screen.get_height() - size[1]) // 2
            screen.blit(self._pg.image.frombuffer(fitted.tobytes(), size, "BGR"), corner)
        self._pg.display.flip()

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
