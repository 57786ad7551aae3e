from __future__ import annotations


def view() -> None:
    """x"""
