"""A set is fetched after its licence, checked, resumed, and never left half there."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading

import pytest

from studiolike.cli import main
from studiolike.errors import FetchError, InputError, OutputError
from studiolike.sets import CATALOGUE, RemoteFile, SetEntry, catalogue, fetch
from studiolike.sets.catalogue import people_files

CONTENT = bytes(range(256)) * 1200  # 300 kB, several blocks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends CONTENT; what it does besides stands in the server's attributes."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/ids.csv":
            body, start = b"mcd,sid,mct\n20230405,AAA111,1635\n20230831,BBB222,0814\n", 0
        elif self.path == "/missing":
            return self.send_error(404)
        else:
            body, start = server.content, 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked, httpd.ranges, httpd.content, httpd.cut = [], True, CONTENT, None
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def one_file(server, sha256=None, path="/file.bin"):
    return SetEntry(
        "tiny",
        "studio",
        "A tiny set",
        "CC BY 3.0",
        "name its source",
        "Nobody, 2026",
        "none",
        "one file",
        files=(RemoteFile("deep/file.bin", server.url + path, sha256),),
    )


def get(entry, folder, **options):
    return fetch(entry, folder, accept_licence=True, progress=False, **options)


def test_nothing_is_asked_of_the_server_before_the_licence_is_accepted(server, tmp_path):
    with pytest.raises(FetchError, match="CC BY 3.0.*--accept-licence"):
        fetch(one_file(server), tmp_path / "set", progress=False)
    assert server.asked == [] and not (tmp_path / "set").exists()


def test_a_file_arrives_whole_is_recorded_and_not_fetched_twice(server, tmp_path):
    assert get(one_file(server, DIGEST), tmp_path) == [tmp_path / "deep" / "file.bin"]
    assert (tmp_path / "deep" / "file.bin").read_bytes() == CONTENT
    record = json.loads((tmp_path / "fetched.json").read_text())
    assert record["set"] == "tiny" and record["files"]["deep/file.bin"]["sha256"] == DIGEST
    get(one_file(server, DIGEST), tmp_path)
    assert len(server.asked) == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "fetched.json", "file.bin"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped_if_the_server_can(server, tmp_path, ranges):
    server.ranges, server.cut = ranges, 100_000
    with pytest.raises(FetchError, match="broke off after 100000 of 307200 bytes; run the command again"):
        get(one_file(server, DIGEST), tmp_path)
    part = tmp_path / "deep" / "file.bin.part"
    assert part.read_bytes() == CONTENT[:100_000] and not (tmp_path / "deep" / "file.bin").exists()
    server.cut = None
    get(one_file(server, DIGEST), tmp_path)
    assert server.asked[-1][1] == "bytes=100000-"
    assert (tmp_path / "deep" / "file.bin").read_bytes() == CONTENT and not part.exists()


def test_an_interrupt_leaves_a_part_that_is_resumed(server, tmp_path, monkeypatch):
    from tqdm.auto import tqdm

    def stop(bar, n):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tqdm, "update", stop)
        get(one_file(server, DIGEST), tmp_path)
    part = tmp_path / "deep" / "file.bin.part"
    assert 0 < part.stat().st_size < len(CONTENT)
    kept = part.stat().st_size
    get(one_file(server, DIGEST), tmp_path)
    assert server.asked[-1][1] == f"bytes={kept}-" and (tmp_path / "deep" / "file.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.bin.part").write_bytes(bytes(len(CONTENT) + 5))
    get(one_file(server, DIGEST), tmp_path)
    assert (tmp_path / "deep" / "file.bin").read_bytes() == CONTENT


def test_another_content_is_refused_and_removed(server, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(FetchError, match="another content"):
        get(one_file(server, DIGEST), tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["deep"]


def test_an_unknown_checksum_is_trusted_once_and_then_kept(server, tmp_path):
    target = tmp_path / "deep" / "file.bin"
    get(one_file(server), tmp_path)
    target.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(FetchError, match="another content"):
        get(one_file(server), tmp_path)
    target.write_bytes(b"changed on this disk")
    with pytest.raises(FetchError, match="damaged or was changed"):
        get(one_file(server), tmp_path)


def test_a_missing_address_and_a_dead_server_are_said_in_one_line(server, tmp_path):
    with pytest.raises(FetchError, match="answers 404"):
        get(one_file(server, path="/missing"), tmp_path)
    dead = SetEntry("tiny", "studio", "", "", "", "", "", "", files=(RemoteFile("a", "http://127.0.0.1:9/a"),))
    with pytest.raises(FetchError, match="no connection to"):
        get(dead, tmp_path)


def test_a_folder_of_another_set_is_refused(server, tmp_path):
    get(one_file(server), tmp_path)
    other = SetEntry("other", "studio", "", "", "", "", "", "", files=(RemoteFile("a", server.url + "/a"),))
    with pytest.raises(OutputError, match="already holds the set tiny"):
        get(other, tmp_path)


def people_set(server):
    return SetEntry(
        "people",
        "studio",
        "",
        "",
        "",
        "",
        "",
        "",
        ids=RemoteFile("ids.csv", server.url + "/ids.csv"),
        template="{mcd}--{mct}--{sid}/mean.png",
        base=server.url + "/",
    )


def test_the_list_of_people_is_fetched_first_and_a_limit_holds(server, tmp_path):
    assert get(people_set(server), tmp_path, limit=1) == [tmp_path / "20230405--1635--AAA111" / "mean.png"]
    assert [path for path, _ in server.asked] == ["/ids.csv", "/20230405--1635--AAA111/mean.png"]
    own = tmp_path / "own.csv"
    own.write_text("sid,mcd,mct,extra\nCCC333,20200101,0900,x\n")
    assert get(people_set(server), tmp_path, ids=own) == [tmp_path / "20200101--0900--CCC333" / "mean.png"]


@pytest.mark.parametrize("text", ["", "mcd,sid,mct\n", "a,b\n1,2\n", "mcd,sid,mct\n1,../../x,2\n", "mcd,sid,mct\n1,/etc//x,2\n"])
def test_a_foreign_or_hostile_list_of_people_is_refused(tmp_path, text):
    (tmp_path / "ids.csv").write_text(text)
    with pytest.raises(InputError, match="ids.csv"):
        people_files(CATALOGUE["ava-256"], tmp_path / "ids.csv")


def test_ava_256_addresses_follow_the_template(tmp_path):
    (tmp_path / "ids.csv").write_text("mcd,sid,mct\n20230405,AAN112,1635\n")
    (file,) = people_files(CATALOGUE["ava-256"], tmp_path / "ids.csv")
    assert file.url.endswith(".s3.amazonaws.com/ava-256/4TB/20230405--1635--AAN112/decoder/uv_image/color_mean.png")


def test_every_entry_names_its_licence_and_can_be_fetched_loaded_or_asked_for():
    from studiolike.sets.loaders import LOADERS

    assert set(LOADERS) == set(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert name == entry.name and entry.role in ("studio", "phone", "pairs", "any")
        assert all((entry.licence, entry.means, entry.citation, entry.layout))
        assert sum(map(bool, (entry.files, entry.ids, entry.hugging_face, entry.ask))) == 1
        for file in (*entry.files, *([entry.ids] if entry.ids else [])):
            assert file.url.startswith("https://") and (file.sha256 is None or len(file.sha256) == 64)


def test_the_hugging_face_client_is_asked_for_the_maps_only(tmp_path, monkeypatch):
    import huggingface_hub

    names = [
        "ffhq-uv/uv-maps/000.png",
        "ffhq-uv/uv-maps/001.png",
        "ffhq-uv/latents.zip",
        "ffhq-uv-interpolate/uv-maps/000.png",
        "README.md",
    ]

    def hf_hub_download(repo, name, *, repo_type, local_dir):
        assert (repo, repo_type) == ("csbhr/FFHQ-UV", "dataset")
        (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (local_dir / name).write_bytes(CONTENT)
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo, repo_type: names)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    found = get(CATALOGUE["ffhq-uv"], tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == names[:2]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo, repo_type: ["README.md"])
    with pytest.raises(FetchError, match="holds no maps"):
        get(CATALOGUE["ffhq-uv"], tmp_path)


def test_the_command_shows_the_licence_first_and_refuses_with_one_line_and_code_2(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", one_file(server, DIGEST))
    assert main(["data", "fetch", "tiny", "-o", str(tmp_path / "set")]) == 2
    told = capsys.readouterr()
    assert "CC BY 3.0: name its source" in told.out and "Nobody, 2026" in told.out
    assert len(told.err.splitlines()) == 1 and "--accept-licence" in told.err
    assert server.asked == [] and not (tmp_path / "set").exists()
    assert main(["data", "fetch", "tiny", "-o", str(tmp_path / "set"), "--accept-licence"]) == 0
    assert (tmp_path / "set" / "deep" / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "argv, message",
    [
        (["goliath-4", "--accept-licence"], "not a download"),
        (["nothing"], "unknown set"),
        (["ava-256", "--accept-licence", "--limit", "0"], "use 1 or more"),
        (["leeperrysmith", "--accept-licence", "--ids", "x.csv"], "no list of people"),
    ],
)
def test_impossible_wishes_give_one_line_and_code_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "fetch", *argv]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1 and not list(tmp_path.iterdir())
