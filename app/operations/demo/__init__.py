"""Demo data: simulated sessions, to try the program, to show it and to measure it."""

from .fill import DemoPlan, FillResult, clear, count, fill

__all__ = ["DemoPlan", "FillResult", "clear", "count", "fill"]
