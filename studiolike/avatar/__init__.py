"""The last stage: a texture becomes a head that can be turned, saved and shared.

`mesh` makes triangles from the layout's position map, `render` draws them without a GPU, `glb` writes a
glTF 2.0 file that any 3D program opens, and `viewer` writes one HTML page that needs no network. The paper
feeds its texture to a pretrained universal avatar model that is not public; a textured mesh stands in for
it here.
"""

from .glb import read_glb, write_glb
from .mesh import HeadMesh, head_mesh
from .render import render, silhouette, turntable
from .viewer import write_viewer

__all__ = [
    "HeadMesh",
    "head_mesh",
    "read_glb",
    "render",
    "silhouette",
    "turntable",
    "write_glb",
    "write_viewer",
]
