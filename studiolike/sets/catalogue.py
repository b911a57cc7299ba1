"""Which real texture sets can be plugged in: what they are, under which licence, from where.

One frozen entry per set. Nothing of the sets themselves is in this project, and most of them may be used for
non-commercial purposes only. Addresses were written from the sets' own pages; they were not tried when this was
written. A SHA-256 stands beside a file where it is known; for the others the first download decides and is
remembered (`fetch`).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

BUCKET = "https://fb-baas-f32eacb9-8abb-11eb-b2b8-4857dd089e15.s3.amazonaws.com"
AVA_PAGE = "https://github.com/facebookresearch/ava-256"
# fmt: off
MULTIFACE_PEOPLE = (
    "002421669", "002539136", "002643814", "002645310", "002757580", "002914589", "2183941",
    "5067077", "5372021", "6674443", "6795937", "7889059", "8870559",
)
# fmt: on
THREE = "https://raw.githubusercontent.com/mrdoob/three.js/r160/examples/models/gltf/LeePerrySmith"
NON_COMMERCIAL = "you may use and share it with credit, for non-commercial purposes only"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a set.

    Attributes:
        path: where it is stored, below the set's folder.
        url: its address.
        sha256: hexadecimal digest, or None if it is not known beforehand.
        size: bytes, or None.
    """

    path: str
    url: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class SetEntry:
    """A set that a reader can plug in.

    Attributes:
        name: what the command line calls it. title: its own name.
        role: what it can train: ``studio``, ``phone``, ``pairs`` or ``any``.
        licence, means: name of the licence, and in one line what it means.
        citation, homepage: what to cite, where to read more.
        layout: what lies where in its folder.
        files: what is downloaded.
        ids: for sets with one file per person: the list of people, ``template`` then makes the files.
        template: path below the set's folder; ``{mcd}``, ``{mct}``, ``{sid}`` are columns of the list.
        base: address to which the template is appended.
        hugging_face: data set on the Hugging Face hub, instead of files.
        ask: how to obtain a set that cannot be downloaded.
    """

    name: str
    role: str
    title: str
    licence: str
    means: str
    citation: str
    homepage: str
    layout: str
    files: tuple[RemoteFile, ...] = ()
    ids: RemoteFile | None = None
    template: str = ""
    base: str = ""
    hugging_face: str | None = None
    ask: str | None = None

    def notice(self) -> str:
        """What a user must read before the download: licence, meaning, citation, home page; four lines."""
        return f"{self.title}\nlicence:  {self.licence}: {self.means}\ncite:     {self.citation}\nhomepage: {self.homepage}"


ENTRIES = (
    SetEntry(
        name="ava-256",
        role="studio",
        title="Ava-256: mean textures of 256 people from a capture dome",
        licence="CC BY-NC 4.0",
        means=NON_COMMERCIAL,
        citation="Martinez et al., Codec Avatar Studio, NeurIPS Datasets and Benchmarks 2024",
        homepage=AVA_PAGE,
        layout="{mcd}--{mct}--{sid}/decoder/uv_image/color_mean.png, linear camera RGB; 256_ids.csv lists the people",
        ids=RemoteFile(
            "256_ids.csv",
            "https://raw.githubusercontent.com/facebookresearch/ava-256/a9d2fbe85c2139d1c072212287b484309f3460e7/256_ids.csv",
            "c6bed7016305dc4d686f297f0254bc4b56e9d5fca24950c8e643e231a9167513",
            5388,
        ),
        template="{mcd}--{mct}--{sid}/decoder/uv_image/color_mean.png",
        base=f"{BUCKET}/ava-256/4TB/",
    ),
    SetEntry(
        name="multiface",
        role="studio",
        title="Multiface: mean textures of 13 people from a capture dome",
        licence="CC BY-NC 4.0",
        means=NON_COMMERCIAL,
        citation="Wuu et al., Multiface: A Dataset for Neural Face Rendering, arXiv 2207.11243, 2022",
        homepage="https://github.com/facebookresearch/multiface",
        layout="{person}/metadata.tar, which holds tex_mean.png",
        files=tuple(
            RemoteFile(f"{person}/metadata.tar", f"{BUCKET}/MugsyDataRelease/v0.0/identities/{person}/metadata.tar")
            for person in MULTIFACE_PEOPLE
        ),
    ),
    SetEntry(
        name="ffhq-uv",
        role="studio",
        title="FFHQ-UV: 54,165 evenly lit maps, made by a GAN from FFHQ photographs",
        licence="none stated for the maps; derived from FFHQ (CC BY-NC-SA 4.0)",
        means="treat it as non-commercial, with credit, and pass it on under the same terms",
        citation="Bai et al., FFHQ-UV: Normalized Facial UV-Texture Dataset, CVPR 2023",
        homepage="https://github.com/csbhr/FFHQ-UV",
        layout="any folders of PNG files, or zip archives of them, named uv-maps; sRGB; ears, hair and neck are one template",
        hugging_face="csbhr/FFHQ-UV",
    ),
    SetEntry(
        name="leeperrysmith",
        role="studio",
        title="Infinite, 3D Head Scan by Lee Perry-Smith: one head",
        licence="CC BY 3.0",
        means="you may use, change and share it, also commercially, if you name its source",
        citation="Infinite, 3D Head Scan by Lee Perry-Smith, based on a work at triplegangers.com",
        homepage="https://github.com/mrdoob/three.js/tree/r160/examples/models/gltf/LeePerrySmith",
        layout="Map-COL.jpg, sRGB, and the licence text",
        files=(
            RemoteFile(
                "Map-COL.jpg", f"{THREE}/Map-COL.jpg", "e976d73b31407f8d0967412bf468019ed26a5d5a32cf5811aabff7e816458a65", 148269
            ),
            RemoteFile("LeePerrySmith_License.txt", f"{THREE}/LeePerrySmith_License.txt"),
        ),
    ),
    SetEntry(
        name="goliath-4",
        role="pairs",
        title="Goliath-4: four people, in a capture dome and by phone",
        licence="CC BY-NC 4.0",
        means=NON_COMMERCIAL,
        citation="Martinez et al., Codec Avatar Studio, NeurIPS Datasets and Benchmarks 2024",
        homepage="https://github.com/facebookresearch/goliath",
        layout="m--{mcd}--{mct}--{sid}--pilot--ProjectGoliath--Head/uv_image/color_mean.png; phone videos beside",
        ask="write to its authors from an institutional address (see the homepage), then load the folder they give you",
    ),
    SetEntry(
        name="imagefolder",
        role="any",
        title="Your own folder of textures",
        licence="yours",
        means="what you agreed on with the people in it",
        citation="none",
        homepage="none",
        layout="one picture per texture, optionally <name>.visibility.png or <name>.mask.png beside it (white = seen)",
        ask="it is already on your disk: name the folder to  studiolike data retarget",
    ),
)
CATALOGUE: dict[str, SetEntry] = {entry.name: entry for entry in ENTRIES}


def entry(name: str) -> SetEntry:
    """The entry of a set. Raises ``InputError`` for an unknown name."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise InputError(f"unknown set '{name}'; known: {', '.join(CATALOGUE)}") from None


def people_files(chosen: SetEntry, ids: Path) -> list[RemoteFile]:
    """The files of a set with one file per person.

    Args:
        ids: CSV file with the columns that the entry's template names; other columns are ignored.
    Raises:
        InputError: missing or foreign list.
    """
    try:
        with ids.open(newline="", encoding="utf-8-sig") as handle:
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(handle)]
        paths = [chosen.template.format(**row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise InputError(f"{ids} is not a list of people for {chosen.name}: it needs the columns mcd, sid, mct") from error
    # the list may come from anywhere, and its cells become paths on this disk
    if not paths or any(".." in path or "//" in path or path.startswith("/") or "\\" in path for path in paths):
        raise InputError(f"{ids} lists no people, or has empty or unusable cells in mcd, sid or mct")
    return [RemoteFile(path, chosen.base + path) for path in paths]
