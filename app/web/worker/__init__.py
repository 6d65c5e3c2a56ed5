"""gunicorn's worker, and its limit of descriptors."""

from .descriptors import descriptor_warning, raise_descriptor_limit, spare_descriptors
from .worker import Worker

__all__ = ["Worker", "descriptor_warning", "raise_descriptor_limit", "spare_descriptors"]
