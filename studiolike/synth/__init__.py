"""Synthetic heads: subjects, their studio textures, and phone captures of them, with exact ground truth.

A declared stand-in for real captures: it shows that the method works where the truth is known, not that it works on
people. Read `head`, then `light`, `phone`, `studio`, `dataset`.
"""

from .dataset import SetSpec, TextureSet, write_set
from .head import Subjects, synthesise_subjects
from .phone import PhoneCapture, phone_capture
from .studio import studio_texture

__all__ = [
    "PhoneCapture",
    "SetSpec",
    "Subjects",
    "TextureSet",
    "phone_capture",
    "studio_texture",
    "synthesise_subjects",
    "write_set",
]
