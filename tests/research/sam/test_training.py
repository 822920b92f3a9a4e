"""Training the compact SAM, on a tiny shape."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ratcli.errors import UnreadableInputError, UsageError, WeightsError
from ratcli.partition import get_partitioner
from ratcli.partition.sam import read_compact
from ratcli.partition.sam_model import SamShape, build_sam
from ratcli.training.checkpoints import CHECKPOINT
from ratcli.training.examples import TargetPlane
from research.sam.drawing import DrawnPlane, draw_gray
from research.sam.examples import SamExamples
from research.sam.loss import mask_loss, segment_prompts
from research.sam.prompts import draw_prompts
from research.sam.recipe import COMPACT, SamRecipe, read_sam_recipe
from research.sam.training import WEIGHTS, PromptFeed, begin_from, make_trainer
from research.sam.weights import resize_weights

TINY = SamShape(64, 32, 2, 2, (1,), window=2, prompt_width=32, decoder_hidden=32)
RECIPE = SamRecipe(
    TINY, steps=4, batch=2, prompts=4, pool=3, refresh=1, save=2, warmup=2, precision="fp32"
)
RECIPES = Path(__file__).resolve().parents[3] / "recipes"


class Gray:
    """Gray planes alone: they are drawn fast."""

    def make(self, index, side):
        return draw_gray(np.random.default_rng(index), side)


def trainer(folder, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    return make_trainer(recipe, Gray(), folder, torch.device("cpu"))


def halves(size=64):
    labels = np.zeros((size, size), np.int32)
    labels[:, size // 2 :] = 1
    return DrawnPlane((labels[None] * 0.8).astype(np.float32), labels)


def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.run()
    trainer(tmp_path / "parts").run(until=2)
    rest = trainer(tmp_path / "parts")
    rest.resume()
    assert rest.step == 2
    rest.run()
    for name, value in whole.average.items():
        torch.testing.assert_close(rest.average[name], value, msg=name)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_that_grows_is_resumed_too(tmp_path, stop):
    whole = trainer(tmp_path / "whole", early_steps=2, early_batch=3)
    whole.run()
    trainer(tmp_path / "parts", early_steps=2, early_batch=3).run(until=stop)
    rest = trainer(tmp_path / "parts", early_steps=2, early_batch=3)
    rest.resume()
    rest.run()
    assert read_compact(tmp_path / "parts" / WEIGHTS)[0] == TINY
    for name, value in whole.average.items():
        torch.testing.assert_close(rest.average[name], value, msg=name)


def test_a_checkpoint_that_calls_its_network_sam_is_resumed(tmp_path):
    whole = trainer(tmp_path)
    whole.run(until=2)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    old = {key: state[key] for key in ("average", "optimiser", "step")} | {"sam": state["network"]}
    torch.save(old, tmp_path / CHECKPOINT)
    rest = trainer(tmp_path)
    rest.resume()
    assert rest.step == 2
    for name, value in whole.network.state_dict().items():
        assert torch.equal(rest.network.state_dict()[name], value)


def test_grown_weights_say_the_same_of_a_larger_picture():
    torch.manual_seed(0)
    small = build_sam(dataclasses.replace(TINY, image_size=32))
    torch.nn.init.normal_(small.image_encoder.pos_embed)
    large = build_sam(TINY)
    large.load_state_dict(resize_weights(small.state_dict(), TINY))
    grown = large.image_encoder.pos_embed.mean((1, 2))
    torch.testing.assert_close(grown, small.image_encoder.pos_embed.mean((1, 2)))
    assert torch.equal(large.mask_decoder.iou_token.weight, small.mask_decoder.iou_token.weight)


def test_the_loss_falls_on_two_halves(tmp_path):
    class Halves:
        def make(self, index, side):
            return halves(side)

    recipe = dataclasses.replace(RECIPE, steps=15, learning_rate=4e-3, save=15)
    losses = []
    run = make_trainer(recipe, Halves(), tmp_path, torch.device("cpu"))
    run.run(lambda done: losses.append(done.loss))
    assert losses[-1] < 0.8 * losses[0]


def test_nothing_to_resume_and_damaged_checkpoints_are_told(tmp_path):
    run = trainer(tmp_path)
    with pytest.raises(UsageError, match="to resume from"):
        run.resume()
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(UnreadableInputError):
        run.resume()


def test_what_a_run_writes_is_a_partitioner(tmp_path):
    run = trainer(tmp_path)
    run.run()
    shape, state = read_compact(tmp_path / WEIGHTS)
    assert shape == TINY
    assert state["mask_decoder.iou_token.weight"].dtype == torch.float16
    partitioner = get_partitioner("sam-compact", weights=tmp_path / WEIGHTS)
    regions = partitioner.partition(halves().values)
    assert np.array_equal(np.unique(regions.labels), np.arange(regions.count))


@pytest.mark.parametrize("keep", [0, 20, 0.5])
def test_cut_off_compact_weights_are_refused(tmp_path, keep):
    trainer(tmp_path).run(until=1)
    path = tmp_path / WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(WeightsError):
        get_partitioner("sam-compact", weights=path)


def test_compact_weights_that_are_not_installed_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("ratcli.partition.sam_installed.FILE", "absent.safetensors")
    with pytest.raises(WeightsError, match="not installed"):
        get_partitioner("sam-compact")


def test_a_registry_guards_the_installed_file(tmp_path, monkeypatch):
    trainer(tmp_path).run(until=1)
    monkeypatch.setenv("RAT_HOME", str(tmp_path))
    facts = "".join(f'{key} = "00"\n' for key in ("use", "file", "sha256", "summary", "licence"))
    (tmp_path / "registry.toml").write_text(f"[sam-compact]\n{facts}")
    with pytest.raises(WeightsError, match="SHA-256"):
        get_partitioner("sam-compact")


def test_prompts_lie_in_what_they_ask_for():
    prompted = draw_prompts(np.random.default_rng(0), [halves(), halves()], 6)
    assert prompted.pictures.shape == (2, 3, 64, 64)
    assert prompted.targets.shape == (2, 6, 16, 16)
    for image in range(2):
        for prompt in range(6):
            x, y = prompted.points[image, prompt].int().tolist()
            assert prompted.targets[image, prompt][y // 4, x // 4]


def test_one_forward_pass_serves_points_and_boxes():
    torch.manual_seed(0)
    sam = build_sam(TINY).requires_grad_(False)
    prompted = draw_prompts(np.random.default_rng(0), [halves()], 8)
    logits, quality = segment_prompts(sam, prompted)
    assert logits.shape == (8, 3, 16, 16)
    assert quality.shape == (8, 3)
    moved = dataclasses.replace(prompted, boxes=prompted.boxes + 9)
    other, _ = segment_prompts(sam, moved)
    torch.testing.assert_close(other[:6], logits[:6])
    assert not torch.allclose(other[6:], logits[6:])


def test_points_ask_for_large_regions_as_often_as_boxes_do():
    labels = np.repeat(np.repeat(np.arange(64, dtype=np.int32).reshape(8, 8), 8, 0), 8, 1)
    labels[:, :32] = 0
    numbered = np.unique(labels, return_inverse=True)[1].reshape(64, 64).astype(np.int32)
    plane = DrawnPlane(np.zeros((1, 64, 64), np.float32), numbered)
    prompted = draw_prompts(np.random.default_rng(0), [plane] * 40, 8)
    is_large = prompted.targets.float().mean((2, 3)) > 0.4
    shares = is_large[:, :6].float().mean(), is_large[:, 6:].float().mean()
    assert shares[0] == pytest.approx(float(shares[1]), abs=0.15)


def test_a_run_begins_with_the_weights_of_another(tmp_path):
    trainer(tmp_path / "first").run()
    path = tmp_path / "first" / WEIGHTS
    run = trainer(tmp_path / "second", seed=5, early_steps=2)
    begin_from(run, dataclasses.replace(RECIPE, seed=5, early_steps=2), path)
    begun, state = run.network.state_dict(), read_compact(path)[1]
    for name in ("mask_decoder.iou_token.weight", "image_encoder.neck.0.weight"):
        assert torch.equal(begun[name], state[name].float())
    wide = dataclasses.replace(TINY, prompt_width=64)
    other, third = dataclasses.replace(RECIPE, shape=wide), trainer(tmp_path / "third", shape=wide)
    with pytest.raises(WeightsError, match="architecture"):
        begin_from(third, other, path)


def test_the_best_of_three_masks_is_what_counts():
    target = torch.zeros(1, 8, 8, dtype=torch.bool)
    target[:, 2:5] = True
    right = torch.where(target, 20.0, -20.0)
    logits = torch.stack([right, -right, -right], dim=1)
    quality = torch.tensor([[1.0, 0.0, 0.0]])
    assert mask_loss(logits, quality, target) < 1e-3
    assert mask_loss(logits, 1 - quality, target) > 0.9


def test_the_prompts_of_a_step_do_not_depend_on_the_way_there():
    recipe = dataclasses.replace(RECIPE, refresh=2)
    begun, resumed = PromptFeed(recipe, Gray(), 0, 0), PromptFeed(recipe, Gray(), 4, 0)
    for _ in range(4):
        begun.advance()
    assert torch.equal(begun.draw(4).pictures, resumed.draw(4).pictures)


def test_real_planes_are_cut_to_size_and_degraded():
    hu = np.full((1, 90, 130), -1000, np.float32)
    hu[:, 20:70, 30:100] = 40
    source = SamExamples(0, [TargetPlane("phantom", hu, 1.5)], 1.0, (20, 30))
    plane = source._real_ct(np.random.default_rng(0), 64)
    assert plane.values.shape == (1, 64, 64)
    assert plane.labels.max() >= 1


@pytest.mark.parametrize("name", ["sam-compact.toml", "sam-compact-points.toml"])
def test_the_shipped_recipe_is_that_of_the_compact_sam(name):
    recipe = read_sam_recipe(RECIPES / name)
    assert recipe.shape == COMPACT
    assert not set(recipe.train) & {"ct/crlm_ct_1004", "ct/covid_ny_sbu/A027284"}


@pytest.mark.parametrize("text", ["steps = ", "stepz = 3", "[shape]\nsize = 3"])
def test_a_wrong_recipe_is_told(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_sam_recipe(path)
