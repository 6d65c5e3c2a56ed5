"""Export a survey for analysis (docs/export.md).

With one row a session, answers that fit no column are JSON in ``other_answers``.
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
