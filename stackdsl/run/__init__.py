"""Carrying a plan out: the timeline of what happened, the engine that walks the steps."""
