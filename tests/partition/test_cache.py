"""The cache of partitions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ratcli.errors import OutputError
from ratcli.partition import get_partitioner
from ratcli.partition.cache import CachedPartitioner
from ratcli.regions import Regions


class Counting:
    """Halves of a plane; counts how often it is asked."""

    name = "halves"
    settings = ("halves",)

    def __init__(self):
        self.calls = 0

    def partition(self, plane):
        self.calls += 1
        return Regions.from_labels((np.indices(plane.shape[-2:])[1] > 3).astype(int))


@pytest.fixture
def plane():
    return np.random.default_rng(0).standard_normal((1, 8, 8)).astype(np.float32)


def test_the_second_time_nothing_is_computed(tmp_path, plane):
    source = Counting()
    first = CachedPartitioner(source, tmp_path / "new").partition(plane)
    second = CachedPartitioner(source, tmp_path / "new").partition(plane.copy())
    assert source.calls == 1
    assert np.array_equal(first.labels, second.labels)
    assert second.labels.dtype == np.int32


def test_one_other_value_is_another_entry(tmp_path, plane):
    source = Counting()
    cache = CachedPartitioner(source, tmp_path)
    cache.partition(plane)
    plane[0, 7, 7] += 1
    cache.partition(plane)
    assert source.calls == 2


def test_other_settings_are_another_entry(tmp_path, plane):
    one = CachedPartitioner(get_partitioner("superpixel"), tmp_path)
    other = CachedPartitioner(get_partitioner("superpixel", smallest=9), tmp_path)
    assert one.key(plane) != other.key(plane)
    assert one.settings == get_partitioner("superpixel").settings


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_entry_is_made_again(tmp_path, plane, damage):
    source = Counting()
    cache = CachedPartitioner(source, tmp_path)
    expected = cache.partition(plane)
    (entry,) = tmp_path.glob("*.npz")
    entry.write_bytes(entry.read_bytes()[:-30] if damage is None else damage)
    assert np.array_equal(cache.partition(plane).labels, expected.labels)
    assert source.calls == 2
    cache.partition(plane)
    assert source.calls == 2


@pytest.mark.parametrize(("place", "value"), [(6, 1), (4, 82), (8, 99)])
def test_an_entry_that_zip_cannot_open_is_made_again(tmp_path, plane, place, value):
    """Encrypted, of a later version, or of an unknown compression, says its directory."""
    source = Counting()
    cache = CachedPartitioner(source, tmp_path)
    cache.partition(plane)
    (entry,) = tmp_path.glob("*.npz")
    data = bytearray(entry.read_bytes())
    for magic, offset in ((b"PK\x03\x04", place), (b"PK\x01\x02", place + 2)):
        data[data.index(magic) + offset] = value
    entry.write_bytes(data)
    cache.partition(plane)
    assert source.calls == 2


def test_nothing_but_entries_is_left(tmp_path, plane):
    CachedPartitioner(Counting(), tmp_path).partition(plane)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, plane):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        CachedPartitioner(Counting(), tmp_path / "file" / "cache").partition(plane)


def test_processes_that_share_a_folder_agree(tmp_path):
    code = """
import sys, numpy as np
from pathlib import Path
from ratcli.partition import get_partitioner
from ratcli.partition.cache import CachedPartitioner
cache = CachedPartitioner(get_partitioner("superpixel"), Path(sys.argv[1]))
total = 0
for seed in range(8):
    plane = np.random.default_rng(seed).standard_normal((1, 32, 32)).astype(np.float32)
    total = total * 31 + int(cache.partition(plane).labels.sum())
print(total)
"""
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = {run.communicate()[0] for run in runs}
    assert len(answers) == 1
    assert all(run.returncode == 0 for run in runs)
    assert len(list(Path(tmp_path).iterdir())) == 8


def test_an_entry_of_another_plane_is_not_used(tmp_path, plane):
    source = Counting()
    cache = CachedPartitioner(source, tmp_path)
    cache.partition(plane + 1)
    (entry,) = tmp_path.glob("*.npz")
    entry.rename(tmp_path / f"{cache.key(plane)}.npz")
    cache.partition(plane)
    assert source.calls == 2


def test_an_entry_of_negative_labels_is_not_used(tmp_path, plane):
    source = Counting()
    cache = CachedPartitioner(source, tmp_path)
    key = cache.key(plane)
    labels = np.arange(64).reshape(8, 8) - 9
    np.savez_compressed(tmp_path / f"{key}.npz", labels=labels, key=key)
    assert cache.partition(plane).labels.min() == 0
    assert source.calls == 1
