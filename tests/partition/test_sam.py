"""SAM: the fast decoder, the masks of a whole image, regions; small shapes and random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from skimage.metrics import adapted_rand_error

from ratcli.partition.cleanup import Cleanup, paint
from ratcli.partition.sam import SamPartitioner
from ratcli.partition.sam_decoder import decode, upscale
from ratcli.partition.sam_masks import MaskSettings, SquareFit, embed, encode, propose
from ratcli.partition.sam_model import OFFICIAL, SamShape, build_sam
from research.sam.recipe import COMPACT

SMALL = SamShape(128, 32, 2, 2, (1,), window=3, prompt_width=32, decoder_hidden=48)
# With random weights every mask is as good as any other: keep them all.
ALL = MaskSettings(points_per_side=6, quality=1e-6, stability=0.0, overlap=1.0)


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(1)
    model = build_sam(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight *= 100
            head.layers[-1].bias *= 100
    return model.requires_grad_(False)


def picture(height=96, width=96):
    y, x = np.mgrid[:height, :width]
    gray = 60 + 120 * ((y - 40) ** 2 + (x - 50) ** 2 < 700) + 50 * (x > 80)
    return np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8)


def stock(sam, embedding, points):
    labels = torch.ones(len(points), 1)
    sparse, _ = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    return sparse, sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=torch.zeros(len(points), *embedding.shape[1:]),
        multimask_output=True,
    )


def test_the_encoder_in_strips_gives_the_published_embedding():
    torch.manual_seed(4)
    encoder = build_sam(SMALL).image_encoder.requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            parameter.normal_()
    images = torch.randn(2, 3, 128, 128)
    torch.testing.assert_close(encode(encoder, images), encoder(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("images", [1, 3])
def test_the_fast_decoder_gives_the_published_masks(sam, images):
    torch.manual_seed(2)
    embedding = torch.randn(images, 32, 8, 8)
    points = torch.rand(images, 5, 1, 2) * 128
    position = sam.prompt_encoder.get_dense_pe()[0]
    expected = [stock(sam, embedding[i : i + 1], points[i]) for i in range(images)]
    prompts = torch.stack([sparse for sparse, _ in expected])
    decoded = decode(sam.mask_decoder, embedding, position, prompts)
    masks = torch.cat([masks for _, (masks, _) in expected])
    qualities = torch.cat([quality for _, (_, quality) in expected])
    # The weights of the masks were raised a hundredfold, and so was the rounding.
    torch.testing.assert_close(
        upscale(sam.mask_decoder, decoded) / 100, masks / 100, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(decoded.quality, qualities, atol=1e-5, rtol=0)


def test_only_chosen_prompts_are_upscaled(sam):
    embedding, prompts = torch.randn(1, 32, 8, 8), torch.randn(1, 5, 2, 32)
    decoded = decode(sam.mask_decoder, embedding, sam.prompt_encoder.get_dense_pe()[0], prompts)
    every = upscale(sam.mask_decoder, decoded)
    some = upscale(sam.mask_decoder, decoded, torch.tensor([3, 1]))
    torch.testing.assert_close(some, every[[3, 1]], atol=1e-4, rtol=0)


def test_the_fast_decoder_has_the_published_gradients():
    torch.manual_seed(3)
    model = build_sam(SMALL)
    embedding = torch.randn(1, 32, 8, 8)
    sparse, (masks, quality) = stock(model, embedding, torch.rand(4, 1, 2) * 128)
    parameters = dict(model.mask_decoder.named_parameters())
    names = [name for name in parameters if "hypernetworks_mlps.0" not in name]
    wanted = [parameters[name] for name in names]
    expected = torch.autograd.grad(
        masks.square().mean() + quality.mean(), wanted, retain_graph=True
    )
    position = model.prompt_encoder.get_dense_pe()[0]
    decoded = decode(model.mask_decoder, embedding, position, sparse[None])
    loss = upscale(model.mask_decoder, decoded).square().mean() + decoded.quality.mean()
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    for name, ours, theirs in zip(names, found, expected, strict=True):
        if ours is None:  # a bias that shifts all scores alike
            assert name.endswith("k_proj.bias")
            ours = torch.zeros_like(theirs)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (128, 128), (150, 80)])
def test_regions_are_those_of_the_packages_generator(sam, height, width):
    image = picture(height, width)
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side=6, pred_iou_thresh=1e-6, stability_score_thresh=0, box_nms_thresh=1.0
    )
    records = generator.generate(image)
    expected = paint([record["segmentation"] for record in records], height, width)
    with torch.inference_mode():
        masks = propose(sam, *embed(sam, image[None]), ALL)
    found = paint(masks, height, width)
    assert len(masks) == len(records) > 10
    error = adapted_rand_error(expected.labels, found.labels, ignore_labels=())[0]
    assert error < 0.01


def test_the_batch_of_prompts_does_not_change_masks(sam):
    image = picture()[None]
    with torch.inference_mode():
        embedding, frame = embed(sam, image)
        few = propose(sam, embedding, frame, MaskSettings(6, 1e-6, 0.0, 1.0, batch=5))
        many = propose(sam, embedding, frame, MaskSettings(6, 1e-6, 0.0, 1.0, batch=64))
    assert len(few) == len(many)
    assert np.mean([a != b for a, b in zip(few, many, strict=True)]) < 1e-3


def test_masks_come_largest_first_at_the_size_of_the_plane(sam):
    with torch.inference_mode():
        masks = propose(sam, *embed(sam, picture(150, 80)[None]), ALL)
    areas = [int(mask.sum()) for mask in masks]
    assert areas == sorted(areas, reverse=True)
    assert {mask.shape for mask in masks} == {(150, 80)}


def test_masks_of_low_quality_are_dropped(sam):
    with torch.inference_mode():
        embedding, frame = embed(sam, picture()[None])
        assert propose(sam, embedding, frame, MaskSettings(6, quality=9.0)) == []


def test_no_mask_at_all_is_one_region(sam):
    partitioner = SamPartitioner("sam-small", sam, "0" * 64, MaskSettings(3, quality=9.0))
    assert partitioner.partition(np.zeros((1, 40, 30), np.float32)).count == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 33, 90), (1, 200, 40)])
def test_every_pixel_has_a_label(sam, shape):
    plane = np.random.default_rng(0).random(shape).astype(np.float32)
    regions = SamPartitioner("sam-small", sam, "0" * 64, ALL).partition(plane)
    assert regions.labels.shape == shape[1:]
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count))


def test_planes_encoded_together_get_the_labels_they_get_alone(sam):
    partitioner = SamPartitioner("sam-small", sam, "0" * 64, ALL)
    planes = [np.random.default_rng(i).random((3, 64, 64)).astype(np.float32) for i in range(2)]
    together = partitioner.partition_planes(planes)
    for regions, plane in zip(together, planes, strict=True):
        alone = partitioner.partition(plane)
        assert adapted_rand_error(alone.labels, regions.labels, ignore_labels=())[0] < 0.01


def test_settings_tell_weights_thresholds_and_clean_up(sam):
    plain = SamPartitioner("sam-small", sam, "a" * 64)
    others = [
        SamPartitioner("sam-small", sam, "b" * 64),
        SamPartitioner("sam-small", sam, "a" * 64, MaskSettings(quality=0.5)),
        SamPartitioner("sam-small", sam, "a" * 64, cleanup=Cleanup(split=True)),
    ]
    assert all(other.settings != plain.settings for other in others)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 512), (1024, 1024)), ((10, 3), (1024, 307)), ((1, 1), (1024, 1024))],
)
def test_a_plane_is_fitted_as_the_package_does(size, expected):
    from segment_anything.utils.transforms import ResizeLongestSide

    assert SquareFit.fit(*size, 1024).resized == expected
    assert ResizeLongestSide.get_preprocess_shape(*size, 1024) == expected


def test_official_shapes_are_those_of_the_package():
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        for name, key in (("sam-vit-b", "vit_b"), ("sam-vit-l", "vit_l"), ("sam-vit-h", "vit_h")):
            ours = {k: v.shape for k, v in build_sam(OFFICIAL[name]).state_dict().items()}
            theirs = {k: v.shape for k, v in sam_model_registry[key]().state_dict().items()}
            assert ours == theirs


def test_the_compact_sam_fits_25_megabytes_in_half_precision():
    count = sum(parameter.numel() for parameter in build_sam(COMPACT).parameters())
    assert 2 * count < 25e6
