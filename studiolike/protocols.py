"""Which textures a training may read: the two protocols, in one place, and the door that enforces them.

``few`` is the paper's question: phone captures of the pre-training subjects, and the studio textures of a small few-shot
set alone (splits "studio" and "pairs"). ``open`` is the practical upper bound: every studio texture that the generator
can give, except those that settings are chosen on (split "val") and those of the final evaluation ("test").

A training reads its `TextureSet` through `permitted`. What the protocol forbids raises there, so that no stage can look at
it by mistake; the split "test" is closed under both protocols.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import ProtocolError

if TYPE_CHECKING:  # the command line names protocols without waiting for torch
    import numpy as np
    from torch import Tensor

    from .synth import TextureSet

Protocol = Literal["few", "open"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
STUDIO_SPLITS: dict[str, tuple[str, ...]] = {
    "few": ("studio", "pairs"),
    "open": ("phone", "studio", "pairs"),
}
CAPTURE_SPLITS = ("phone", "studio", "pairs", "val")  # whose phone captures a training or a choice of settings may read


def check(protocol: str) -> None:
    """Raise `ProtocolError` unless ``protocol`` is one of `PROTOCOLS`."""
    if protocol not in PROTOCOLS:
        raise ProtocolError(f"unknown protocol '{protocol}'; choose one of {', '.join(PROTOCOLS)}")


def studio_subjects(data: TextureSet, protocol: str) -> Tensor:
    """Subjects whose studio textures a stage may learn from, int64 rows of ``data.studio``."""
    import torch

    check(protocol)
    return torch.cat([data.subjects(split) for split in STUDIO_SPLITS[protocol]])


def paired_captures(data: TextureSet, protocol: str) -> Tensor:
    """Captures of those subjects, int64 rows of ``data.phone``: what has a true studio texture in training."""
    import torch

    return torch.isin(torch.as_tensor(data.subject), studio_subjects(data, protocol)).nonzero().flatten()


def permitted(data: TextureSet, protocol: str, watch: bool = False) -> TextureSet:
    """``data`` as a training under ``protocol`` may see it: reading anything else raises `ProtocolError`.

    Args:
        watch: also let the studio textures of the split "val" through, which settings are chosen on and which nothing may
            learn from: for statistics beside a training.
    """
    import torch

    subjects = studio_subjects(data, protocol)
    if watch:
        subjects = torch.cat([subjects, data.subjects("val")])
    captures = torch.cat([data.captures(split) for split in CAPTURE_SPLITS])
    view = copy.copy(data)
    view.studio = Guarded(data.studio, subjects, f"the studio textures of protocol '{protocol}'")
    view.phone = Guarded(data.phone, captures, "the captures that training may read")
    view.visibility = Guarded(data.visibility, captures, "the captures that training may read")
    return view


class Guarded:
    """An array of which only some rows may be read.

    Args:
        array: numpy array or memory map. rows: int64, the rows that may be read. what: what those are, for the message.
    Raises:
        ProtocolError: on reading any other row.
    """

    def __init__(self, array: np.ndarray, rows: Tensor, what: str):
        import numpy as np

        self._array, self._what = array, what
        self._open = np.zeros(len(array), bool)
        self._open[np.asarray(rows)] = True
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> np.ndarray:
        import numpy as np

        first = index[0] if isinstance(index, tuple) else index
        if not np.all(self._open[first]):
            closed = np.atleast_1d(np.arange(len(self._array))[first][~self._open[first]])
            raise ProtocolError(f"row {closed[0]} is not among {self._what}; a training reads only what its protocol allows")
        return self._array[index]
