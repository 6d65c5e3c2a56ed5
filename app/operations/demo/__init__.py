"""Demo data: simulated sessions, to try the program, to show it and to measure it."""

from .fill import DemoPlan, FillResult, clear_demo, count_demo, fill_demo

__all__ = ["DemoPlan", "FillResult", "clear_demo", "count_demo", "fill_demo"]
