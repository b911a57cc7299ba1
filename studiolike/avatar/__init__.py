"""The last stage: a texture becomes a head that can be turned, saved and shared.

`mesh` makes triangles from the layout's position map, `shape` gives the head somebody's own face, `render` draws it without
a GPU, `glb` writes a glTF 2.0 file that any 3D program opens (with the skin's `relief`), `viewer` writes one HTML page that
needs no network, `relight` shows whether light is left in a texture, `movie` writes turntables, and `report` tells a person
what was done with their face. The paper feeds its texture to a pretrained universal avatar model that is not public; a
textured mesh stands in for it here.
"""

from .glb import read_glb, write_glb
from .mesh import HeadMesh, head_mesh
from .movie import write_movie
from .relief import normal_map
from .relight import relit_sheet
from .render import render, turntable
from .report import write_report
from .shape import close_mouth, own_head
from .viewer import write_viewer

__all__ = [
    "HeadMesh",
    "close_mouth",
    "head_mesh",
    "normal_map",
    "own_head",
    "read_glb",
    "relit_sheet",
    "render",
    "turntable",
    "write_glb",
    "write_movie",
    "write_report",
    "write_viewer",
]
