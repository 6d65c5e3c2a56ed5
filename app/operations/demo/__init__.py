"""Demo data: simulated sessions."""

from .fill import DemoPlan, clear_demo, count_demo, fill_demo

__all__ = ["DemoPlan", "clear_demo", "count_demo", "fill_demo"]
