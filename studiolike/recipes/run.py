"""`studiolike train`: one step, or all in their order."""

from __future__ import annotations

from pathlib import Path

from ..config import Profile
from ..device import find_device
from ..errors import ProfileError
from ..protocols import PROTOCOLS, check
from ..training import check_precision, processes
from .by_protocol import BY_PROTOCOL
from .context import Context
from .shared import SHARED
from .sizes import check_size

IN_FULL = ("codes", "exemplars", "tone")  # steps that do not ask for the profile's precision


def train(
    stage: str,
    profile: Profile,
    runs: str | Path,
    *,
    release: bool = False,
    warm: bool = False,
    device: str | None = None,
    seed: int = 0,
    progress: bool = True,
    studio: Path | None = None,
    protocol: str | None = None,
) -> None:
    """Train one stage, or all in order; with ``release`` the result replaces the released weights.

    A single stage starts from the networks of the stages before it: this profile's own runs where they exist, else
    the released weights. With ``warm`` G_phone, D_phone and the encoder do not start from noise but from the released ones.
    ``studio`` is a set whose studio textures the stage "adapt" is to learn from. ``protocol``: "few" or "open" for the stages
    "adapt", "tone" and "detail"; None trains both.

    Raises:
        ProfileError: unknown stage, a release of what was trained on ``studio``, or ``warm`` and networks of another size.
        InputError: ``studio`` does not fit, no such device, or fp16 without a GPU. WeightsError: a run folder of other settings.
        ProtocolError: unknown protocol.
    """
    known = (*SHARED, *BY_PROTOCOL)
    if stage != "all" and stage not in known:
        raise ProfileError(f"unknown stage '{stage}'; choose one of {', '.join(known)} or all")
    if studio and (stage != "adapt" or release):  # most real sets forbid what a release under MIT would allow
        raise ProfileError("--studio-set is for the stage adapt alone, and never for a release")
    if studio:  # D reads it, and under "open" there is no D
        if protocol == "open":
            raise ProfileError("--studio-set goes with --protocol few")
        protocol = "few"
    if protocol is not None:
        check(protocol)
    if warm:
        check_size(profile)  # now, not after the hours of the stages before
    if device is not None:
        find_device(device)
    if stage not in IN_FULL:
        check_precision(profile.precision, processes(device).device)
    context = Context(profile, Path(runs) / profile.name, release, warm, device, seed, progress, studio)
    for name in tuple(SHARED) if stage == "all" else (stage,) if stage in SHARED else ():
        SHARED[name](context)
    for chosen in PROTOCOLS if protocol is None else (protocol,):
        for name in tuple(BY_PROTOCOL) if stage == "all" else (stage,) if stage in BY_PROTOCOL else ():
            BY_PROTOCOL[name](context, chosen)
