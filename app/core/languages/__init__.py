"""The texts that this server itself shows to participants, in their language: one JSON file a language."""

from .formats import Month
from .tags import best_match, direction, own_name, parents
from .texts import Message, languages, page_texts, page_texts_digest, text, use_directory

__all__ = [
    "Message",
    "Month",
    "best_match",
    "direction",
    "languages",
    "own_name",
    "page_texts",
    "page_texts_digest",
    "parents",
    "text",
    "use_directory",
]
