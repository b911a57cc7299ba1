"""A person's tone: how light their skin is, which no single texel of a phone capture tells.

A camera meters: it makes dark and light skin alike, and what it took away is gone from the level of the picture. Not from the
picture: the white of the eyes, lips, brows, the noise of a long exposure and how light falls off keep their relation to the
skin. A small network reads the level from them, and G_studio's texture is brought to it. This stage is ours, the paper has
none: its phone captures were made with fixed settings, as far as it says.
"""

from .network import ToneNet, skin_level, with_level
from .train import ToneStage, lit
from .translation import translate

__all__ = ["ToneNet", "ToneStage", "lit", "skin_level", "translate", "with_level"]
