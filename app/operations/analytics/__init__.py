"""The analytics of a survey; docs/analytics.md defines each value."""

from .cache import SummaryCache
from .collect import PAUSE_S
from .csv_files import csv_files
from .filters import Filters
from .report import report_to_dict
from .summary import DAYS_FILLED, summarize

__all__ = ["DAYS_FILLED", "PAUSE_S", "Filters", "SummaryCache", "csv_files", "report_to_dict", "summarize"]
