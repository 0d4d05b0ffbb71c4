"""Notebooks: `control(run)` shows a living run and lets you act on it."""

from stackdsl.notebook.opening import control

__all__ = ["control"]
