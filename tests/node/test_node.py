"""A node from end to end, with senders and an archive on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pydicom
import pytest
from node_runs import (
    ROUTE,
    Archive,
    ct_series,
    listening,
    running,
    save,
    send,
    state_of,
    wait_until,
    write_config,
)
from pynetdicom import AE

from ratcli.commands.restore import restore

pytestmark = [
    pytest.mark.usefixtures("tiny_weights"),
    # pynetdicom drops the socket of a connection that was refused without closing it
    pytest.mark.filterwarnings("ignore:unclosed <(ssl|socket):ResourceWarning"),
]

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def test_a_series_comes_back_as_rat_restore_makes_it(tmp_path: Path) -> None:
    images = ct_series("a")
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        assert send(node.port, images) == [0, 0, 0]
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    save(images, tmp_path / "a")
    restore(tmp_path / "a", task="ct-denoise", partition="none", output=tmp_path / "restored")
    files = [pydicom.dcmread(path) for path in (tmp_path / "restored").rglob("*.dcm")]
    assert len(files) == 3
    assert {str(image.SOPInstanceUID) for image in files} == set(archive.got)
    for image in files:
        got = archive.images[str(image.SOPInstanceUID)]
        assert got.SeriesInstanceUID == image.SeriesInstanceUID
        assert got.StudyInstanceUID == images[0].StudyInstanceUID
        assert got.PixelData == image.PixelData


def test_a_series_that_is_sent_again_gives_the_same_objects(tmp_path: Path) -> None:
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        for times in (1, 2):
            send(node.port, ct_series("a"))
            wait_until(lambda times=times: len(archive.got) == 3 * times)
            wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    assert len(archive.images) == 3


def test_two_senders_at_once_get_their_own_series(tmp_path: Path) -> None:
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        entity = AE("TEST")
        entity.add_requested_context(CT)
        lines = [entity.associate("127.0.0.1", node.port) for _ in range(2)]
        for pair in zip(ct_series("a"), ct_series("b"), strict=True):
            for line, image in zip(lines, pair, strict=True):
                assert line.send_c_store(image).Status == 0
        for line in lines:
            line.release()
        wait_until(lambda: state_of(tmp_path) == {"sent": 2})
    assert len({str(image.SeriesInstanceUID) for image in archive.images.values()}) == 2
    assert len(archive.got) == 6


def test_a_destination_that_is_down_gets_the_series_when_it_is_back(tmp_path: Path) -> None:
    with listening(Archive()) as archive:
        config = write_config(tmp_path, archive.port)
    with running(config) as node:
        send(node.port, ct_series("a"))
        wait_until(lambda: state_of(tmp_path) == {"restored": 1})
        wait_until(lambda: node.figures()["delivery_failures_total"])
        with listening(archive):
            wait_until(lambda: state_of(tmp_path) == {"sent": 1})
    assert len(archive.got) == 3


def test_a_series_that_the_destination_refuses_fails_with_the_reason(tmp_path: Path) -> None:
    archive = Archive(status=0xC000)
    with listening(archive):
        config = write_config(tmp_path, archive.port, "refusals = 1\n")
        with running(config) as node:
            send(node.port, ct_series("a"))
            wait_until(lambda: state_of(tmp_path) == {"failed": 1})
    (reason,) = (tmp_path / "node" / "failed").glob("*/reason.txt")
    assert reason.read_text() == "there refused the series: the node answered with status C000\n"
    assert len(list(reason.parent.glob("in/*.dcm"))) == 3


def test_an_unsuitable_series_fails_and_the_next_one_is_restored(tmp_path: Path) -> None:
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        send(node.port, ct_series("bad", Modality="MR"))
        send(node.port, ct_series("good"))
        wait_until(lambda: state_of(tmp_path) == {"failed": 1, "sent": 1})
    (reason,) = (tmp_path / "node" / "failed").glob("*/reason.txt")
    assert "MR" in reason.read_text()


def test_localizers_alone_are_ignored_and_those_beside_slices_left_out(tmp_path: Path) -> None:
    mixed = ct_series("mixed")
    mixed[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        send(node.port, ct_series("alone", 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
        send(node.port, mixed)
        wait_until(lambda: state_of(tmp_path) == {"ignored": 1, "sent": 1})
    assert len(archive.got) == 2
    assert list((tmp_path / "node" / "failed").iterdir()) == []


def test_an_interrupted_association_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    images = ct_series("a")
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        entity = AE("TEST")
        entity.add_requested_context(CT)
        line = entity.associate("127.0.0.1", node.port)
        assert [line.send_c_store(image).Status for image in images[:2]] == [0, 0]
        line.abort()
        wait_until(lambda: len(archive.got) == 2)
        send(node.port, images[2:])
        wait_until(lambda: len(archive.images) == 3)
        wait_until(lambda: state_of(tmp_path) == {"sent": 1})


def test_other_sop_classes_are_not_accepted(tmp_path: Path) -> None:
    with running(write_config(tmp_path, 1)) as node:
        entity = AE("TEST")
        entity.add_requested_context(MR)
        entity.add_requested_context(CT)
        line = entity.associate("127.0.0.1", node.port)
        assert [str(c.abstract_syntax) for c in line.accepted_contexts] == [CT]
        line.release()


@pytest.mark.parametrize(
    ("images", "head", "status"),
    [
        (ct_series("a", 1, BodyPartExamined="HEAD"), "", 0xA900),
        (ct_series("a", 1, SeriesInstanceUID=""), "", 0xA900),
        (ct_series("a", 1), "most-waiting = 1\n", 0xA700),
        (ct_series("a", 1), 'free-space = "9999TB"\n', 0xA700),
    ],
    ids=["no route", "no series", "too many wait", "full disk"],
)
def test_what_cannot_be_taken_is_refused_with_its_status(
    images: list[pydicom.Dataset], head: str, status: int, tmp_path: Path
) -> None:
    route = ROUTE + 'body-part = ["ABD*", "chest"]\n'
    config = write_config(tmp_path, 1, head, route)
    config.write_text(config.read_text().replace('free-space = "1MB"\n', "", "free-space" in head))
    with running(config) as node:
        first = send(node.port, ct_series("before", 1, BodyPartExamined="CHEST"))
        assert first == [0xA700 if "free-space" in head else 0]
        for image in images:
            image.setdefault("BodyPartExamined", "ABDOMEN")
        assert send(node.port, images) == [status]


@pytest.mark.parametrize(
    ("caller", "is_taken"),
    [
        ('ae-title = "TEST"', True),
        ('ae-title = "te*"\naddress = "127.0.0.0/8"', True),
        ('ae-title = "OTHER"', False),
        ('address = "10.0.0.1"', False),
    ],
)
def test_only_callers_that_are_listed_may_send(caller: str, is_taken: bool, tmp_path: Path) -> None:
    with running(write_config(tmp_path, 1, route=f"{ROUTE}[[caller]]\n{caller}\n")) as node:
        entity = AE("TEST")
        entity.add_requested_context(CT)
        line = entity.associate("127.0.0.1", node.port)
        assert (line.is_established, line.is_rejected) == (is_taken, not is_taken)
        if is_taken:
            line.release()


def test_an_object_that_is_too_large_ends_the_association(tmp_path: Path) -> None:
    with running(write_config(tmp_path, 1, 'largest-object = "100KB"\n')) as node:
        entity = AE("TEST")
        entity.add_requested_context(CT)
        line = entity.associate("127.0.0.1", node.port)
        assert line.send_c_store(ct_series("small", 1)[0]).Status == 0
        large = ct_series("large", 1)[0]
        large.Rows = large.Columns = 512
        large.PixelData = bytes(2 * 512 * 512)
        assert "Status" not in line.send_c_store(large)
        wait_until(lambda: line.is_aborted)
        assert send(node.port, ct_series("next", 1)) == [0]


def test_nothing_of_a_patient_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ratcli")
    secrets = ("SECRETNAME", "SECRETID", "19330303", "SECRETPLACE")
    marks = dict(zip(("PatientName", "PatientID", "PatientBirthDate"), secrets, strict=False))
    with listening(Archive()) as archive, running(write_config(tmp_path, archive.port)) as node:
        send(node.port, ct_series("a", InstitutionName="SECRETPLACE", **marks))
        send(node.port, ct_series("bad", Modality="MR", BodyPartExamined="SECRETPLACE", **marks))
        wait_until(lambda: state_of(tmp_path) == {"failed": 1, "sent": 1})
    told = caplog.text
    for path in tmp_path.rglob("*"):
        told += str(path.relative_to(tmp_path))
        if path.is_file() and path.suffix != ".dcm":
            told += path.read_bytes().decode("latin-1")
    assert [secret for secret in secrets if secret in told] == []
