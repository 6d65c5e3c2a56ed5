"""Export a survey for analysis (docs/export.md)."""

from .codebook import codebook_to_dict, codebook_to_markdown
from .export import Export
from .request import FORMATS, MODES, STATUSES, ExportRequest
from .sessions import Counts
from .streamed import escape_formula

__all__ = [
    "FORMATS",
    "MODES",
    "STATUSES",
    "Counts",
    "Export",
    "ExportRequest",
    "codebook_to_dict",
    "codebook_to_markdown",
    "escape_formula",
]
