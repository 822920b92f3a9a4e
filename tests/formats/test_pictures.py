"""PNG and JPEG: read in 8-bit RGB, written as PNG; anything else is refused in one sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from ratcli.cli.app import main
from ratcli.errors import InputNotFoundError, RatError, UnreadableInputError, UsageError
from ratcli.formats import create_scan, find_scans, open_scan
from ratcli.scan import Box, Derivation
from tests.formats.dicom_scans import dicom_dataset, ramp, save_dicom

SAME = Derivation("identity", "nothing was changed", "identity", version="1")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Output = pytest.CaptureFixture[str]


def colours(height: int = 12, width: int = 20, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def copy(source: Path, target: Path, scale: int = 1) -> Image.Image:
    """Write a picture with each pixel repeated, and open the result."""
    derivation = Derivation("identity", "repeated", "identity", scale=scale, version="1")
    with open_scan(source) as reader, create_scan(reader, target, derivation) as writer:
        writer.write(0, reader.read(0).repeat(scale, 1).repeat(scale, 2))
    return opened(target)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_and_alpha_come_back(tmp_path: Path, channels: int) -> None:
    pixels = colours(channels=channels)
    made = copy(save(tmp_path / "a.png", pixels), tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(made), pixels)
    with open_scan(tmp_path / "b.png") as reader:
        hidden = reader.padding(0)
    np.testing.assert_array_equal(hidden, pixels[..., 3] == 0 if channels == 4 else False)


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(colours()).convert("P", palette=Image.Palette.ADAPTIVE, colors=7)
    image.save(tmp_path / "a.png")
    made = copy(tmp_path / "a.png", tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(made), np.asarray(image.convert("RGB")))


def test_a_box_is_part_of_the_plane(tmp_path: Path) -> None:
    with open_scan(save(tmp_path / "a.png", colours())) as reader:
        box = Box(3, 5, 4, 6)
        np.testing.assert_array_equal(reader.read(0, box), reader.read(0)[:, 3:7, 5:11])


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_profile_and_resolution_are_kept_on_a_finer_grid(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / f"a{suffix}", colours(), icc_profile=PROFILE, dpi=(300, 150))
    made = copy(source, tmp_path / "b.png", scale=4)
    assert made.size == (80, 48)
    assert made.info["icc_profile"] == PROFILE
    np.testing.assert_allclose(made.info["dpi"], (1200, 600), rtol=1e-3)
    assert made.info["Software"] == "repeated"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = save(tmp_path / "a.png", colours(), exif=exif)
    with open_scan(source) as reader:
        shown = (reader.read(0) * 255).round().astype(np.uint8).transpose(1, 2, 0)
        assert (reader.info.height, reader.info.width) == shown.shape[:2]
    flipped = colours()[:, ::-1] if orientation in (2, 4, 5, 7) else colours()
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    np.testing.assert_array_equal(shown, np.rot90(flipped, quarters))
    made = copy(source, tmp_path / "b.png")
    assert made.getexif().get(0x0112, 1) == 1


def png(width: int, height: int, bits: int, colour: int) -> bytes:
    """Return a PNG that declares a size, without pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (png(4, 4, 16, 2), "PNG in RGB of 16 bits"),
        (png(4, 4, 8, 0), "PNG in gray of 8 bits"),
        (png(4, 4, 16, 0), "PNG in gray of 16 bits"),
        (png(4, 4, 8, 4), "PNG in gray with alpha of 8 bits"),
        (png(4, 4, 8, 5), "is damaged"),
        (png(1 << 20, 1 << 20, 8, 2), "more than the limit"),
        (png(0, 4, 8, 2), "none to read"),
        (b"\x89PNG\r\n\x1a\n", "is damaged"),
        (b"\xff\xd8\xff\xe0", "is damaged"),
    ],
)
def test_what_is_no_8_bit_rgb_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnreadableInputError, match=sentence):
        open_scan(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_of_other_colours_is_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(colours()).convert(mode).save(tmp_path / "a.jpg")
    with pytest.raises(UnreadableInputError, match="only 8-bit RGB is read"):
        open_scan(tmp_path / "a.jpg")


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(colours() // part) for part in (1, 2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableInputError, match="is an animation"):
        open_scan(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_every_cut_file_is_an_error_of_the_file(tmp_path: Path, suffix: str) -> None:
    whole = save(tmp_path / f"a{suffix}", colours(40, 50)).read_bytes()
    for size in range(4, len(whole) - 40, max(1, len(whole) // 60)):
        (tmp_path / f"a{suffix}").write_bytes(whole[:size])
        with pytest.raises(RatError), open_scan(tmp_path / f"a{suffix}") as reader:
            reader.read(0)


def test_a_png_is_no_place_for_an_uncertainty(tmp_path: Path) -> None:
    with open_scan(save(tmp_path / "a.png", colours())) as reader:
        derivation = Derivation("x", "x", "x", method="uncertainty")
        with pytest.raises(UsageError, match="no place for the uncertainty"):
            create_scan(reader, tmp_path / "b.png", derivation)


def test_the_pictures_of_a_folder_are_scans_unless_they_lie_beside_dicom(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "regions_preview.png"):
        save(tmp_path / name, colours())
    assert [source.name for source in find_scans(tmp_path)] == ["a", "b"]
    save_dicom(dicom_dataset(ramp()), tmp_path / "ct.dcm")
    assert [source.name for source in find_scans(tmp_path)] == ["ct"]


@pytest.mark.parametrize("inner", [True, False])
def test_folders_inside_are_named_only_if_there_are_any(tmp_path: Path, inner: bool) -> None:
    if inner:
        (tmp_path / "inner").mkdir()
    with pytest.raises(InputNotFoundError) as caught:
        find_scans(tmp_path)
    assert ("--recursive" in caught.value.hint) is inner


def test_a_folder_of_pictures_is_restored_without_a_task(
    tmp_path: Path, tiny_weights: Path, capsys: Output
) -> None:
    save(tmp_path / "in.jpg", colours(), dpi=(300, 300))
    save(tmp_path / "in2.png", colours())
    (tmp_path / "notes.txt").write_text("nothing")
    words = ["restore", str(tmp_path), "-o", str(tmp_path / "out"), "--threads", "1"]
    assert main(words) == 0
    assert "in.jpg -> out/in.png (pathology-sr (RGB), 1 plane" in capsys.readouterr().err
    made = opened(tmp_path / "out" / "in.png")
    assert made.size == (80, 48)
    assert made.info["Software"].startswith("rat ")
    assert main([*words, "--if-exists", "skip"]) == 0
    assert main(["segment", str(tmp_path / "in.jpg"), "-o", f"{tmp_path}/map.tif"]) == 0
    one, low = tmp_path / "out" / "in2.png", tmp_path / "in2.png"
    assert main(["evaluate", str(one), "--input", str(low), "--json"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("-t", "ct-denoise"), 4, "planes have 3 channels, but ct-denoise takes 1"),
        (("-o", "x.jpg"), 2, "x.jpg ends in .jpg, but the output is PNG. Name it x.png"),
        (("--compression", "jpeg"), 2, "JPEG is for TIFF and SVS, but this is PNG"),
        (("--uncertainty",), 2, "a PNG has no place for the uncertainty"),
    ],
)
def test_what_cannot_be_done_with_a_picture_is_one_sentence(
    tmp_path: Path, tiny_weights: Path, capsys: Output, words: tuple[str, ...], code: int,
    sentence: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.jpg", colours())
    assert main(["restore", "a.jpg", *words, "--threads", "1"]) == code
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
