"""Demo data: simulated sessions."""

from .fill import DemoPlan, FillResult, clear_demo, count_demo, fill_demo

__all__ = ["DemoPlan", "FillResult", "clear_demo", "count_demo", "fill_demo"]
