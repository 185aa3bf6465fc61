"""The models, one file a topology."""

from seqloom.models.many_to_one import LossOptions, ManyToOne, Problem

__all__ = ["LossOptions", "ManyToOne", "Problem"]
