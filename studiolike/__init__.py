"""studiolike: from a phone capture's face texture to a studio-like one. See README.md and the book."""

__version__ = "0.1.0.dev0"
