"""Rivals: other ways to get from a phone texture to a studio texture, on the data that our chain sees."""

from .closed import homomorphic
from .train import CLOSED, TRAINED, Rival, Trained, closed, train

__all__ = ["CLOSED", "TRAINED", "Rival", "Trained", "closed", "homomorphic", "train"]
