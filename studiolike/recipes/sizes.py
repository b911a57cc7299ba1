"""Sizes: of the released networks, of a chapter that shows them, and of what may start from them."""

from __future__ import annotations

import dataclasses

from .. import weights
from ..config import GeneratorConfig, Profile
from ..config import profile as find_profile
from ..errors import ProfileError


def check_size(profile: Profile) -> None:
    """Raise `ProfileError` if the released G_phone is not of the profile's size."""
    if released_generator() != profile.generator:
        raise another_size("g_phone", profile)


def another_size(name: str, profile: Profile) -> ProfileError:
    """What is raised for a released network that is not of the profile's size."""
    return ProfileError(f"the released {name} has not the size that the profile {profile.name} trains: leave --warm out")


def released_generator() -> GeneratorConfig:
    """Size of the released generators."""
    config = weights.read_config("g_phone")
    return GeneratorConfig(**{field.name: config[field.name] for field in dataclasses.fields(GeneratorConfig)})


def chapter_profile(name: str) -> Profile:
    """The settings of a chapter: the profile called ``name``, in the size of the networks that the chapter shows.

    Those are the released ones, or the ones that $STUDIOLIKE_WEIGHTS names. Were the textures of another size, a generator
    could not read them, and a detailer would be judged where it was not trained.
    """
    return find_profile(name).sized(released_generator(), weights.read_config("detailer")["resolution"])
