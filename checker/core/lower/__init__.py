"""From a typed model to the System: `lower_model` in `model` is the way in."""

from checker.core.lower.model import lower_model

__all__ = ["lower_model"]
