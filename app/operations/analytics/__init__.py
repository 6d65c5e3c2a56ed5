"""Analytics as docs/analytics.md defines them."""

from .cache import SummaryCache, summarize
from .csv_files import csv_files
from .filters import Filters
from .report import report_to_dict

__all__ = ["Filters", "SummaryCache", "csv_files", "report_to_dict", "summarize"]
