"""Real texture sets that a reader can plug in: `catalogue` says which, `fetch` downloads, `loaders` read each in its own
layout, `retarget` brings them into the head layout, `collect` makes them a set that training reads.

No texture of a person comes with this project.
"""

from .catalogue import CATALOGUE, RemoteFile, SetEntry, entry
from .collect import collect
from .fetch import fetch
from .loaders import Sample, load
from .retarget import retarget, retarget_path

__all__ = ["CATALOGUE", "RemoteFile", "Sample", "SetEntry", "collect", "entry", "fetch", "load", "retarget", "retarget_path"]
