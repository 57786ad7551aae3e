"""Window: the viewer on a display, through SDL (pygame-ce: no Qt, X11 and Wayland alike). Runs on the main thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import render
from ..errors import MissingExtra
from ..frames import DepthResult
from ..hud import readout, status_lines, warning_lines
from ..viewer import KEYS, Viewer

DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
TEXT, QUIET, WARN, GROUND, PANEL = (228, 230, 233), (152, 160, 169), (224, 168, 78), (18, 20, 23), (13, 15, 17)
FONTS, FONT_PX = "notosans,dejavusans,liberationsans,freesans", 14
LINE_PX = 20
MARGIN_PX = 10
POLL_S = 0.015
REPEAT_MS = 300, 60
"""Until a key that is held repeats, and from then on."""

OWN_KEYS = (
    (("1", "2", "3", "4"), "one pane alone; 0 shows all"),
    (("i",), "hide the status lines, and show them"),
    (("f",), "full screen, and back"),
    (("h",), "this help"),
    (("q", "escape"), "quit"),
)

REPEATING = {name for key in KEYS if key.repeats for name in key.names}


def why_not() -> str | None:
    """Why no window can be opened here, as the start of a sentence; None when one can."""
    if not any(os.environ.get(name) for name in DISPLAY_VARIABLES):
        return "there is no display"
    try:
        pygame = _pygame()
    except MissingExtra as e:
        return str(e)
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
    except pygame.error as e:
        return f"the display cannot be used ({e})"
    finally:
        pygame.display.quit()
    return None if driver not in ("dummy", "offscreen") else f"SDL's video driver is '{driver}'"


def _pygame() -> ModuleType:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise MissingExtra("the window", "window") from None
    return pygame


def open_display() -> Any:
    """pygame with its display ready; keys that are held do not repeat. Raises MissingExtra without pygame-ce."""
    pygame = _pygame()
    pygame.display.init()
    pygame.key.set_repeat()
    return pygame


class Window:
    """Shows one viewer. Make it and run it on the main thread. Raises MissingExtra without pygame-ce."""

    def __init__(self, viewer: Viewer, title: str = "stereo_rt") -> None:
        self._viewer = viewer
        self._pg: Any = open_display()
        self._pg.key.set_repeat(*REPEAT_MS)
        self._pg.font.init()
        self._font = self._pg.font.Font(self._pg.font.match_font(FONTS), FONT_PX)
        self._screen = self._pg.display.set_mode(self._first_size(), self._pg.RESIZABLE)
        self._pg.display.set_caption(title)
        self._shown: tuple[str, ...] = render.PANES
        self._hud, self._help = True, False
        self._layout: render.Layout | None = None
        self._composite: tuple[object, Any] = (None, None)
        self._commands = self._bind()
        self._held: set[int] = set()

    def _first_size(self) -> tuple[int, int]:
        """Room for four pictures of 640x480, or most of a smaller desktop."""
        desktop = self._pg.display.get_desktop_sizes()[0]
        wanted = 2 * 640 + render.GAP_PX, 2 * (480 + render.HEADER_PX) + render.GAP_PX + 2 * LINE_PX + MARGIN_PX
        return min(wanted[0], int(desktop[0] * 0.9)), min(wanted[1], int(desktop[1] * 0.88))

    def _bind(self) -> dict[str, Callable[[], object]]:
        def shared(command: Callable[[Viewer], None]) -> Callable[[], object]:
            return lambda: command(self._viewer)

        commands = {name: shared(key.command) for key in KEYS for name in key.names}
        for number, pane in enumerate(render.PANES, start=1):
            commands[str(number)] = lambda pane=pane: setattr(self, "_shown", (pane,))  # type: ignore[misc]
        commands["0"] = lambda: setattr(self, "_shown", render.PANES)
        commands["i"] = lambda: setattr(self, "_hud", not self._hud)
        commands["h"] = lambda: setattr(self, "_help", not self._help)
        commands["f"] = self._pg.display.toggle_fullscreen
        return commands

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Show results until the user quits, or `until()` is true. The window closes on the way out."""
        version = -1
        try:
            while self._handle_events() and not until():
                version = self._viewer.wait(version, POLL_S)
                self.draw()
        finally:
            self._pg.quit()

    def _handle_events(self) -> bool:
        """False once the user wants to leave."""
        for event in self._pg.event.get():
            if event.type == self._pg.QUIT:
                return False
            if event.type == self._pg.KEYUP:
                self._held.discard(event.key)
            if event.type == self._pg.KEYDOWN:
                name = self._pg.key.name(event.key)
                if name in ("q", "escape"):
                    return False
                # The character first: on many keyboards '+' or '[' is another key's shifted face.
                name = event.unicode if event.unicode in self._commands else name
                command = self._commands.get(name)
                if command is not None and (event.key not in self._held or name in REPEATING):
                    command()
                self._held.add(event.key)  # SDL does not mark the repeats
        return True

    # -- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the newest result, the status lines, the pixel under the pointer, and the help."""
        screen = self._screen = self._pg.display.get_surface()
        screen.fill(GROUND)
        width, height = screen.get_size()
        lines = self._lines() if self._hud else []
        room = height - (len(lines) * LINE_PX + MARGIN_PX if lines else 0)
        result = self._viewer.result
        if result is None:
            self._write("waiting for the first frame ...", (MARGIN_PX, MARGIN_PX), QUIET)
        else:
            self._layout = render.fitted(result.rig, self._shown, (width, room))
            x = (width - self._layout.size[0]) // 2
            screen.blit(self._drawn(result, self._layout), (x, 0))
            if not self._help:
                self._draw_reading(x)
        for n, (text, color) in enumerate(lines):
            self._write(text, (MARGIN_PX, room + MARGIN_PX // 2 + n * LINE_PX), color)
        if self._help:
            self._draw_help()
        self._pg.display.flip()

    def _drawn(self, result: DepthResult, layout: render.Layout) -> Any:
        """The composite as a surface, drawn anew only when something in it has changed."""
        made_of = result, self._viewer.view, layout
        if made_of != self._composite[0]:
            image = render.panes(*made_of)
            surface = self._pg.image.frombuffer(image.tobytes(), layout.size, "BGR")
            self._composite = made_of, surface.convert()
        return self._composite[1]

    def _lines(self) -> list[tuple[str, tuple[int, int, int]]]:
        status = self._viewer.status()
        first, second = status_lines(status)
        return [
            (first, TEXT),
            # The notes first: what does not fit in the window is cut off at the right.
            ("   ".join([*self._viewer.notes, second]) or "press h for help", QUIET),
            *((text, WARN) for text in warning_lines(status)),
        ]

    def _draw_reading(self, offset_x: int) -> None:
        """Mark the pixel under the pointer in every pane, and tell its numbers."""
        result, layout = self._viewer.result, self._layout
        if result is None or layout is None or not self._pg.mouse.get_focused():
            return
        x, y = self._pg.mouse.get_pos()
        pixel = layout.locate(x - offset_x, y)
        if pixel is None:
            return
        for pane in layout.panes:
            left, top = layout.origin(pane)
            center = (
                offset_x + left + int((pixel[0] + 0.5) / layout.grid[0] * layout.picture[0]),
                top + int((pixel[1] + 0.5) / layout.grid[1] * layout.picture[1]),
            )
            self._pg.draw.circle(self._screen, (0, 0, 0), center, 8, 3)
            self._pg.draw.circle(self._screen, (255, 255, 255), center, 7, 1)
        self._panel([(str(readout(result, *pixel)), TEXT)], (x, y))

    def _draw_help(self) -> None:
        rows = [(" ".join(key.names), key.help) for key in KEYS] + [(" ".join(names), help_) for names, help_ in OWN_KEYS]
        names_px = max(self._font.size(names)[0] for names, _ in rows) + 24
        text_px = max(self._font.size(text)[0] for _, text in rows)
        width, height = names_px + text_px + 40, len(rows) * (LINE_PX + 4) + 32
        x, y = ((a - b) // 2 for a, b in zip(self._screen.get_size(), (width, height), strict=True))
        self._shade((x, y, width, height))
        for n, (names, text) in enumerate(rows):
            row = y + 18 + n * (LINE_PX + 4)
            self._write(names, (x + 20, row), TEXT)
            self._write(text, (x + 20 + names_px, row), QUIET)

    def _panel(self, lines: list[tuple[str, tuple[int, int, int]]], at: tuple[int, int]) -> None:
        """Lines in a box beside a point, on the side where there is room."""
        width = max(self._font.size(text)[0] for text, _ in lines) + 16
        height = len(lines) * LINE_PX + 8
        screen_width, screen_height = self._screen.get_size()
        x = at[0] + 16 if at[0] + 16 + width < screen_width else max(0, at[0] - 16 - width)
        y = at[1] + 16 if at[1] + 16 + height < screen_height else at[1] - 16 - height
        self._shade((x, y, width, height))
        for n, (text, color) in enumerate(lines):
            self._write(text, (x + 8, y + 6 + n * LINE_PX), color)

    def _shade(self, box: tuple[int, int, int, int]) -> None:
        shade = self._pg.Surface(box[2:], self._pg.SRCALPHA)
        shade.fill((*PANEL, 232))
        self._screen.blit(shade, box[:2])

    def _write(self, text: str, at: tuple[int, int], color: tuple[int, int, int]) -> None:
        self._screen.blit(self._font.render(text, True, color), at)
