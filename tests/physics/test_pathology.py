from __future__ import annotations

import numpy as np
import pytest
import torch

from ratcli.physics.anatomy.histology import he_slide
from ratcli.physics.pathology import (
    SlideScan,
    bicubic_downsample,
    degrade_slide,
    sample_slide_scan,
)


def noise(size: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_inner_pixels_agree_with_antialiased_bicubic_of_pillow(scale: int) -> None:
    image = pytest.importorskip("PIL.Image")
    size = 24 * scale
    plane = noise(size)[0]
    theirs = image.fromarray(plane.numpy()).resize((24, 24), image.Resampling.BICUBIC)
    ours = bicubic_downsample(plane[None, None], scale)[0, 0].numpy()
    # Pillow weighs edges anew; imresize mirrors them.
    assert ours[2:-2, 2:-2] == pytest.approx(np.asarray(theirs)[2:-2, 2:-2], abs=1e-5)


def test_a_flat_image_stays_flat_to_its_edges() -> None:
    flat = torch.full((1, 3, 32, 48), 0.37)
    torch.testing.assert_close(bicubic_downsample(flat, 4), torch.full((1, 3, 8, 12), 0.37))


def test_a_ramp_stays_a_ramp_through_pixel_centres() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    low = bicubic_downsample(ramp, 4)[0, 0, 5]
    torch.testing.assert_close(low[2:-2], (torch.arange(16.0) * 4 + 1.5)[2:-2])


def test_edges_are_mirrored() -> None:
    plane = noise(32)[None]
    whole = torch.cat([plane.flip(-1), plane, plane.flip(-1)], -1)
    torch.testing.assert_close(
        bicubic_downsample(whole, 4)[..., 8:16], bicubic_downsample(plane, 4)
    )


def test_sides_must_be_multiples_of_the_scale() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        degrade_slide(torch.zeros(3, 30, 32), SlideScan())


def test_without_extras_only_bicubic_is_done() -> None:
    image = noise()
    low = degrade_slide(image, SlideScan())
    torch.testing.assert_close(low, bicubic_downsample(image[None], 4)[0].clamp(0, 1))


def test_blur_lowers_contrast_and_keeps_the_mean() -> None:
    image = noise()
    sharp, soft = (degrade_slide(image, SlideScan(blur_px=s)) for s in (0.0, 3.0))
    assert float(soft.std()) < 0.8 * float(sharp.std())
    assert float(soft.mean()) == pytest.approx(float(sharp.mean()), abs=0.002)


def test_sensor_noise_has_its_deviation_and_follows_the_light() -> None:
    scan = SlideScan(noise=0.01)
    generator = torch.Generator().manual_seed(0)
    bright, dim = (
        degrade_slide(torch.full((3, 256, 256), level), scan, generator) - level
        for level in (0.81, 0.25)
    )
    assert float(bright.std()) == pytest.approx(0.009, rel=0.05)
    assert float(dim.std()) == pytest.approx(0.005, rel=0.05)


def test_jpeg_loses_more_at_a_lower_quality() -> None:
    image = torch.from_numpy(he_slide(np.random.default_rng(0), 128)[0])
    plain = degrade_slide(image, SlideScan())
    loss = [
        float((degrade_slide(image, SlideScan(jpeg_quality=q)) - plain).abs().mean())
        for q in (95, 60)
    ]
    assert 0 < loss[0] < loss[1] < 0.1


def test_a_batch_gives_what_single_images_give() -> None:
    images = torch.stack([noise(32, 1), noise(32, 2)])
    scan = SlideScan(blur_px=1.0, jpeg_quality=80)
    alone = torch.stack([degrade_slide(image, scan) for image in images])
    torch.testing.assert_close(degrade_slide(images, scan), alone)


def test_the_same_seed_draws_the_same_noise() -> None:
    scan = SlideScan(noise=0.01)
    first, second = (
        degrade_slide(noise(), scan, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_drawn_scans_are_bicubic_alone_for_most() -> None:
    drawn = [sample_slide_scan(np.random.default_rng(seed)) for seed in range(300)]
    assert 0.5 < np.mean([scan == SlideScan() for scan in drawn]) < 0.7


def test_drawn_slides_repeat_and_are_stained() -> None:
    first, second = (he_slide(np.random.default_rng(7), 96) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert first[0].shape == (3, 96, 96)
    assert first[0].dtype == np.float32
    assert 0 <= first[0].min() < first[0].max() <= 1
    # Eosin and haematoxylin absorb green most.
    assert first[0][1].mean() < first[0][0].mean()


def test_nuclei_are_bluer_and_darker_than_stroma() -> None:
    rgb, labels = he_slide(np.random.default_rng(2), 256, 0.5)
    nuclei, stroma = rgb[:, labels >= 3], rgb[:, labels == 1]
    assert nuclei.mean() < stroma.mean()
    assert nuclei[2].mean() / nuclei[0].mean() > stroma[2].mean() / stroma[0].mean()
