from __future__ import annotations


def process() -> None:
    """x"""
