"""Export a survey for analysis: one row a session or an event, and a codebook of the columns (docs/export.md).

Every answer is in every format with one row a session: in the columns of its step or, if it fits none of them, as JSON
in the column ``other_answers``.
"""

from .codebook import codebook_to_dict, codebook_to_markdown
from .columns import Kind
from .csv import escape_formula
from .export import Export, ExportFile
from .request import FORMATS, MODES, STATUSES, ExportRequest, FormatInfo
from .sessions import Counts

__all__ = [
    "FORMATS",
    "MODES",
    "STATUSES",
    "Counts",
    "Export",
    "ExportFile",
    "ExportRequest",
    "FormatInfo",
    "Kind",
    "codebook_to_dict",
    "codebook_to_markdown",
    "escape_formula",
]
