"""A participant's copy of their data, and erasures (docs/privacy.md)."""

from .participant_export import apply_erasures, export_participant, read_erasures

__all__ = ["apply_erasures", "export_participant", "read_erasures"]
