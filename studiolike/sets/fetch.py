"""Downloading a set: licence first, checksums, and an interrupted download goes on where it stopped.

What was fetched is recorded in ``fetched.json`` beside the data, file by file: address, bytes, SHA-256. Where the
catalogue knows no checksum, the first download is trusted and recorded, and every later one must equal it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from ..errors import FetchError, InputError, OutputError
from ..io import sha256_of, write_text
from ..json_files import read_json
from ..progress import bar
from .catalogue import RemoteFile, SetEntry, people_files

LOCK = "fetched.json"
BLOCK = 1 << 16
TIMEOUT = 60  # seconds without a byte


def fetch(
    chosen: SetEntry,
    folder: Path,
    *,
    accept_licence: bool = False,
    ids: Path | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Download a set, or what is missing of it, into ``folder``.

    Args:
        chosen: entry of the catalogue.
        accept_licence: without it nothing is downloaded.
        ids: list of people to use instead of the set's own (Ava-256).
        limit: at most so many textures.
    Returns:
        The files of the set, in its own order, without the list of people.
    Raises:
        FetchError: licence not accepted, the set cannot be downloaded, no connection, wrong checksum.
        InputError: unusable list of people or limit. OutputError: the folder cannot be written.
    """
    if chosen.ask:
        raise FetchError(f"{chosen.name} is not a download: {chosen.ask}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} is not possible: use 1 or more")
    if ids is not None and chosen.ids is None:
        raise InputError(f"{chosen.name} has no list of people: leave --ids out")
    if not accept_licence:
        raise FetchError(f"{chosen.name} is under {chosen.licence}: {chosen.means}; add --accept-licence to agree and download")
    lock = Lock(folder, chosen)
    if chosen.hugging_face:
        return fetch_hugging_face(chosen, folder, lock, limit)
    files: Iterable[RemoteFile] = chosen.files
    if chosen.ids:
        if ids is None:
            ids = download(chosen.ids, folder, lock, progress=progress)
        files = people_files(chosen, ids)
    files = list(files)[:limit]
    return [
        download(file, folder, lock, progress=progress, label=f"{k}/{len(files)} {file.path}") for k, file in enumerate(files, 1)
    ]


class Lock:
    """The record ``fetched.json`` of a set's folder; written again after every file."""

    def __init__(self, folder: Path, chosen: SetEntry):
        self.path = folder / LOCK
        self.record: dict = {"set": chosen.name, "licence": chosen.licence, "citation": chosen.citation, "files": {}}
        if self.path.is_file():
            found = read_lock(folder)
            if found["set"] != chosen.name:
                raise OutputError(f"{folder} already holds the set {found['set']}; choose another folder")
            self.record = found

    def digest(self, file: RemoteFile) -> str | None:
        """The SHA-256 that a file must have: the catalogue's, else the one of its first download."""
        return file.sha256 or self.record["files"].get(file.path, {}).get("sha256")

    def check(self, file: RemoteFile, path: Path) -> str:
        """The SHA-256 of what stands there. Raises `FetchError` if the file must have another one."""
        digest, expected = sha256_of(path), self.digest(file)
        if expected and digest != expected:
            raise FetchError(f"{path} is damaged or was changed (SHA-256 differs); delete it and fetch again")
        return digest

    def add(self, file: RemoteFile, digest: str, size: int) -> None:
        self.record["files"][file.path] = {"url": file.url, "sha256": digest, "bytes": size}
        write_text(self.path, json.dumps(self.record, indent=2) + "\n")


def read_lock(folder: Path) -> dict:
    """The record of a fetched folder. Raises ``InputError`` if it is missing or damaged."""
    try:
        record = read_json(folder / LOCK)
        if not isinstance(record["set"], str) or not isinstance(record["files"], dict):
            raise ValueError("wrong types")
        return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / LOCK} is not a record of  studiolike data fetch; remove it and fetch again") from error


def download(file: RemoteFile, folder: Path, lock: Lock, *, progress: bool = True, label: str | None = None) -> Path:
    """Bring one file below ``folder`` and check it; what is there already is only checked.

    Raises:
        FetchError: no connection, broken off, or another content than expected. OutputError: cannot be written.
    """
    target = folder / file.path
    part = target.with_name(target.name + ".part")
    if target.is_file():
        digest = lock.check(file, target)
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _transfer(file.url, part, label or file.path, progress)
            digest, expected = sha256_of(part), lock.digest(file)
            if expected and digest != expected:
                part.unlink()
                raise FetchError(
                    f"{file.url} sent another content than expected (SHA-256 {digest[:12]}… instead of "
                    f"{expected[:12]}…); it was removed, try again, and do not use the file if this repeats"
                )
            os.replace(part, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}; choose another folder") from error
    if file.path not in lock.record["files"]:
        lock.add(file, digest, target.stat().st_size)
    return target


def _transfer(url: str, part: Path, label: str, progress: bool) -> None:
    # The standard library, because pooch (which would also keep the checksums) starts a broken download anew, and
    # because the loop below is all that requests would leave to do as well.
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "studiolike", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            # a server may ignore the wish and send everything: then the part begins again
            answered = re.match(rf"bytes {have}-\d+/", response.headers.get("Content-Range", ""))
            have = have if response.status == 206 and answered else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            done = bar(None, label, "B", show=progress, total=total, initial=have, unit_scale=True)
            with part.open("ab" if have else "wb") as handle, done:
                while block := response.read(BLOCK):
                    handle.write(block)
                    done.update(len(block))
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the part is longer than the file, or complete but never renamed
            part.unlink()
            return _transfer(url, part, label, progress)
        raise FetchError(f"{url} answers {error.code} {error.reason}; it may have moved: see the set's homepage") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException, ValueError) as error:
        raise FetchError(
            f"no connection to {url} ({getattr(error, 'reason', None) or error}); run the command again, "
            "it goes on where it stopped"
        ) from error
    if total is not None and part.stat().st_size != total:
        raise FetchError(
            f"{url} broke off after {part.stat().st_size} of {total} bytes; run the command again, it goes on where it stopped"
        )


def fetch_hugging_face(chosen: SetEntry, folder: Path, lock: Lock, limit: int | None) -> list[Path]:
    """Maps of a data set on the Hugging Face hub; its own client resumes and shows progress.

    Raises:
        FetchError: no connection, no such data set, or no maps in it.
    """
    from huggingface_hub import HfApi, hf_hub_download

    assert chosen.hugging_face is not None

    try:
        names = HfApi().list_repo_files(chosen.hugging_face, repo_type="dataset")
        wanted = [name for name in sorted(names) if "interpolate" not in name and name.endswith((".png", ".zip"))]
        if any("uv-maps" in name for name in wanted):  # the repository holds other archives too
            wanted = [name for name in wanted if "uv-maps" in name]
        if not wanted:
            raise FetchError(f"huggingface.co/datasets/{chosen.hugging_face} holds no maps; see {chosen.homepage}")
        found = []
        for name in wanted[:limit]:
            path = Path(hf_hub_download(chosen.hugging_face, name, repo_type="dataset", local_dir=folder))
            file = RemoteFile(name, f"https://huggingface.co/datasets/{chosen.hugging_face}/resolve/main/{name}")
            lock.add(file, lock.check(file, path), path.stat().st_size)
            found.append(path)
    except (FetchError, OutputError):
        raise
    except Exception as error:  # the client raises many kinds, of two HTTP libraries
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FetchError(
            f"cannot fetch {chosen.hugging_face} from the Hugging Face hub ({reason}); or download it by hand, "
            f"see {chosen.homepage}"
        ) from error
    return found
