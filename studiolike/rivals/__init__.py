"""Rivals: other ways to get from a phone texture to a studio texture, on the data that our chain sees."""

from .closed import homomorphic
from .contest import CLOSED, TRAINED, Trained, closed, train

__all__ = ["CLOSED", "TRAINED", "Trained", "closed", "homomorphic", "train"]
