"""Checkpoints of SAM: fetching, importing, and refusing what is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import pickle
import threading
import time
import zipfile

import pytest
import torch

from ratcli.errors import InputNotFoundError, OutputError, WeightsError
from ratcli.partition import get_partitioner, sam
from ratcli.partition.sam_model import OFFICIAL, SamShape, build_sam
from ratcli.partition.sam_weights import (
    CHECKPOINTS,
    SamCheckpoint,
    download_checkpoint,
    import_checkpoint,
    load_sam,
    load_state,
    locate,
    verify,
)
from ratcli.weightfiles import hash_file, user_folder

SMALL = SamShape(64, 16, 1, 2, (0,), prompt_width=16, decoder_hidden=16)
CONTENT = bytes(range(256)) * 4096


class Server:
    """Serves `CONTENT` on loopback as `manner` says."""

    def __init__(self):
        outer = self
        self.manner = "whole"
        self.requests = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/model.pth"

    def answer(self, request):
        if self.manner == "missing":
            request.send_error(404)
            return
        body = CONTENT
        if self.manner == "corrupt":
            body = body[:5000] + b"\xff" + body[5001:]
        request.send_response(200)
        if self.manner != "silently short":
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.manner in ("short", "silently short", "stalled"):
            body = body[: len(body) // 2]
        request.wfile.write(body)
        if self.manner == "stalled":
            request.wfile.flush()
            time.sleep(1.5)


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def checkpoint(server):
    server.manner = "whole"
    server.requests = 0
    digest = hashlib.sha256(CONTENT).hexdigest()
    return SamCheckpoint("sam-test", "model.pth", digest, len(CONTENT), server.url)


class Bar:
    """Counts bytes as a progress bar does."""

    def __init__(self):
        self.total, self.seen = 0, 0

    def update(self, amount):
        self.seen += amount

    def reset(self):
        self.seen = 0

    def close(self):
        pass


def test_a_download_is_verified_and_gets_its_name(checkpoint, tmp_path):
    bar = Bar()
    path = download_checkpoint(checkpoint, tmp_path / "home", progress=bar)
    assert path == tmp_path / "home" / "model.pth"
    assert path.read_bytes() == CONTENT
    assert bar.total == len(CONTENT)


def test_a_whole_file_is_not_fetched_again(checkpoint, server, tmp_path):
    download_checkpoint(checkpoint, tmp_path)
    download_checkpoint(checkpoint, tmp_path)
    assert server.requests == 1


def test_a_damaged_file_is_fetched_anew(checkpoint, tmp_path):
    (tmp_path / "model.pth").write_bytes(CONTENT[:100])
    assert download_checkpoint(checkpoint, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("short", "was interrupted"),
        ("silently short", "another SHA-256"),
        ("corrupt", "another SHA-256"),
        ("stalled", "stopped answering|no connection"),
        ("missing", "404"),
    ],
)
def test_a_failed_download_leaves_nothing(checkpoint, server, tmp_path, manner, words):
    server.manner = manner
    with pytest.raises(WeightsError, match=words):
        download_checkpoint(checkpoint, tmp_path, timeout_s=0.4)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_does_not_harm_the_next(checkpoint, server, tmp_path):
    server.manner = "short"
    with pytest.raises(WeightsError):
        download_checkpoint(checkpoint, tmp_path)
    server.manner = "whole"
    assert download_checkpoint(checkpoint, tmp_path).read_bytes() == CONTENT


def test_no_server_is_told_in_a_sentence(checkpoint, tmp_path):
    gone = dataclasses.replace(checkpoint, url="http://127.0.0.1:9/model.pth")
    with pytest.raises(WeightsError, match="no connection"):
        download_checkpoint(gone, tmp_path)


def test_proxy_settings_of_the_environment_are_used(checkpoint, server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/model.pth"))
    monkeypatch.setenv("no_proxy", "")
    behind = dataclasses.replace(checkpoint, url="http://weights.invalid/model.pth")
    assert download_checkpoint(behind, tmp_path).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_an_output_error(checkpoint, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        download_checkpoint(checkpoint, tmp_path / "file" / "home")


def test_an_import_finds_the_name_by_the_hash(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(CHECKPOINTS, "sam-test", checkpoint)
    source = tmp_path / "whatever.bin"
    source.write_bytes(CONTENT)
    found, path = import_checkpoint(source, tmp_path / "home")
    assert found is checkpoint
    assert path.read_bytes() == CONTENT
    assert locate(checkpoint, tmp_path / "home") == path


def test_an_unknown_file_is_not_imported(tmp_path):
    (tmp_path / "other.pth").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="not a published"):
        import_checkpoint(tmp_path / "other.pth", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_missing_file_is_not_imported(tmp_path):
    with pytest.raises(InputNotFoundError):
        import_checkpoint(tmp_path / "none.pth", tmp_path)


def test_weights_that_are_not_installed_name_the_command(tmp_path):
    with pytest.raises(WeightsError) as caught:
        get_partitioner("sam-vit-b", home=tmp_path)
    assert "rat weights download sam-vit-b" in caught.value.hint


def test_rat_home_moves_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    assert user_folder() == tmp_path


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"\x00"])
def test_a_truncated_or_changed_file_is_told_by_size_or_hash(checkpoint, tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        verify(checkpoint, path)


class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, how):
    trap, path = tmp_path / "trap", tmp_path / "model.pth"
    if how == "torch":
        torch.save({"weight": Hostile(trap)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Hostile(trap)}))
    with pytest.raises(WeightsError, match="not a complete checkpoint"):
        load_state(path)
    assert not trap.exists()


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.99])
def test_a_cut_off_checkpoint_is_refused(tmp_path, keep):
    path = tmp_path / "model.pth"
    torch.save(build_sam(SMALL).state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(WeightsError):
        load_state(path)


def test_a_text_file_and_a_zip_file_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("not weights")
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("hello", "world")
    for name in ("text.pth", "zip.pth"):
        with pytest.raises(WeightsError):
            load_state(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {"weight": 3}, torch.zeros(3)])
def test_other_things_than_named_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="other things"):
        load_state(tmp_path / "model.pth")


def test_another_architecture_is_refused():
    state = build_sam(SMALL).state_dict()
    with pytest.raises(WeightsError, match="another architecture"):
        load_sam(dataclasses.replace(SMALL, width=32), state)
    state["extra"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="first extra"):
        load_sam(SMALL, state)


def test_loaded_weights_give_the_same_embedding(tmp_path):
    torch.manual_seed(0)
    model = build_sam(SMALL)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    loaded = load_sam(SMALL, load_state(tmp_path / "model.pth"))
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        expected = model.image_encoder(model.preprocess(image))
        assert torch.equal(loaded.image_encoder(loaded.preprocess(image)), expected)


def install(monkeypatch, name, shape, home):
    """Save random weights as the checkpoint of an official SAM."""
    torch.manual_seed(0)
    home.mkdir(exist_ok=True)
    path = home / CHECKPOINTS[name].file
    torch.save(build_sam(shape).state_dict(), path)
    digest, size = hash_file(path), path.stat().st_size
    facts = dataclasses.replace(CHECKPOINTS[name], sha256=digest, size=size)
    monkeypatch.setitem(CHECKPOINTS, name, facts)
    return path


def test_a_checkpoint_on_disk_becomes_a_partitioner(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setitem(OFFICIAL, "sam-vit-b", SMALL)
    install(monkeypatch, "sam-vit-b", SMALL, tmp_path)
    partitioner = get_partitioner("sam-vit-b", home=tmp_path, masks=sam.MaskSettings(4))
    regions = partitioner.partition(np.zeros((1, 20, 20), np.float32))
    assert regions.labels.shape == (20, 20)
    assert any(CHECKPOINTS["sam-vit-b"].sha256 in setting for setting in partitioner.settings)


def test_the_real_vit_b_runs_from_a_checkpoint_file(tmp_path, monkeypatch):
    import numpy as np

    install(monkeypatch, "sam-vit-b", OFFICIAL["sam-vit-b"], tmp_path)
    partitioner = get_partitioner("sam-vit-b", home=tmp_path, masks=sam.MaskSettings(1))
    plane = np.random.default_rng(0).random((1, 64, 48)).astype(np.float32)
    regions = partitioner.partition(plane)
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count))


def test_a_checkpoint_of_another_official_sam_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(OFFICIAL, "sam-vit-l", dataclasses.replace(SMALL, depth=2))
    install(monkeypatch, "sam-vit-l", SMALL, tmp_path)
    with pytest.raises(WeightsError, match="another architecture"):
        get_partitioner("sam-vit-l", home=tmp_path)
