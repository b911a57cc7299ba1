"""Stage 1, StyleGAN2: generator and discriminator from the papers, and the training of G_phone."""

from .discriminator import Discriminator
from .encoder import Encoder, encode
from .generator import Generator
from .train import GameStage, WarmUpStage, phone_networks, pretrain

__all__ = ["Discriminator", "Encoder", "GameStage", "Generator", "WarmUpStage", "encode", "phone_networks", "pretrain"]
