"""Words and noisy images in one space: the gradient, and the folder."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.checkpoints.base import save_checkpoint
from model.checkpoints.clip import load_clip
from model.checkpoints.config import read_role
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from model.conditions import NO_LABEL, Conditions
from model.noise import sample_seeds
from model.plan import make_plan
from model.sampling_loop import sample
from tests.tiny import IMAGES, tiny_checkpoint, tiny_classifier, tiny_clip, tiny_text_checkpoint

UNCONDITIONAL = IMAGES.model_copy(update={"labels": ()})


def text(n: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(1)), dim=1)


def test_the_gradient_is_that_of_each_rows_own_product_with_its_own_text():
    clip = tiny_clip().clip()
    generator = torch.Generator().manual_seed(0)
    x, t, c = torch.randn(4, *IMAGES.shape, generator=generator), torch.tensor([1, 10, 30, 50]), text(4)
    with torch.inference_mode():
        gradient = clip.gradient(x, t, c)
        alone = torch.cat([clip.gradient(x[i : i + 1], t[i : i + 1], c[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(gradient, alone, rtol=1e-4, atol=1e-6)
        direction = torch.randn(x.shape, generator=generator)
        h = 1e-2
        ahead, behind = (clip.logits(x + step * direction, t, c).diagonal() for step in (h, -h))
    slope = (gradient * direction).flatten(1).sum(1)
    np.testing.assert_allclose(slope.numpy(), ((ahead - behind) / (2 * h)).numpy(), rtol=2e-2, atol=2e-3)


def test_logits_are_scaled_products_of_unit_vectors():
    clip = tiny_clip().clip()
    with torch.inference_mode():
        logits = clip.logits(torch.randn(5, *IMAGES.shape), torch.full((5,), 9), text(3))
    assert logits.shape == (5, 3)
    assert logits.abs().max() <= clip.network.logit_scale + 1e-4


def test_a_text_row_is_guided_beside_a_label_row_and_one_that_is_not_guided():
    """Each as it is alone; and to be guided at scale 0 is not to be guided."""
    checkpoint = tiny_checkpoint(UNCONDITIONAL, learned_variance=True)
    denoiser = checkpoint.denoiser(gradients={"label": tiny_classifier().gradient(), "text": tiny_clip().gradient()})
    plan = make_plan(checkpoint.schedule, "ddpm", 6, variance="learned")
    c = torch.cat([text(1), torch.zeros(2, 8), text(1)])
    mixed = Conditions(
        torch.tensor([NO_LABEL, 3, NO_LABEL, NO_LABEL]), torch.ones(4), torch.tensor([4.0, 4.0, 4.0, 0.0]), c
    )
    seeds = torch.from_numpy(sample_seeds(0, 1)).expand(4)
    together = sample(denoiser, plan, mixed, seeds, IMAGES.shape)
    for i in range(4):
        one = sample(denoiser, plan, mixed[i : i + 1], seeds[i : i + 1], IMAGES.shape)
        torch.testing.assert_close(together[i : i + 1], one, rtol=1e-4, atol=1e-4)
    assert (together[0] - together[2]).abs().max() > 1e-2 and (together[1] - together[2]).abs().max() > 1e-2
    torch.testing.assert_close(together[3], together[2])


def test_a_network_that_reads_text_is_guided_on_the_line_through_both_halves():
    checkpoint = tiny_text_checkpoint()
    denoiser, network = checkpoint.denoiser(), checkpoint.network
    x, t, c = torch.randn(3, *IMAGES.shape), torch.tensor([10, 20, 30]), text(3)
    with torch.inference_mode():
        conditional, unconditional = network(x, t, c), network(x, t, torch.zeros(3, 8))
        for scale in (0.0, 1.0, 2.5):
            asked = Conditions(torch.full((3,), NO_LABEL), torch.full((3,), scale), None, c)
            torch.testing.assert_close(
                denoiser._guided_output(x, t, asked), unconditional + scale * (conditional - unconditional)
            )
        torch.testing.assert_close(denoiser._guided_output(x, t, Conditions.none(3)), unconditional)


def test_a_saved_one_is_the_same_one(tmp_path):
    clip = tiny_clip()
    save_checkpoint(tmp_path / "clip", clip.config, clip.network, clip.text)
    assert read_role(tmp_path / "clip") == "clip"
    loaded = load_clip(tmp_path / "clip")
    assert loaded.config == clip.config
    prompt = [clip.text.config.vocabulary.read("thin seven")]
    assert torch.equal(loaded.text.embed(prompt), clip.text.embed(prompt))
    x, t = torch.randn(2, *IMAGES.shape), torch.tensor([3, 40])
    assert torch.equal(loaded.clip().encode(x, t), clip.clip().encode(x, t))

    text_denoiser = tiny_text_checkpoint()
    save_checkpoint(tmp_path / "reads", text_denoiser.config, text_denoiser.network, text_denoiser.text)
    loaded = load_checkpoint(tmp_path / "reads")
    assert torch.equal(loaded.text.embed(prompt), text_denoiser.text.embed(prompt))


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda f: (f / "text.safetensors").unlink(), "cannot read text.safetensors"),
        (lambda f: (f / "text.safetensors").write_bytes(b"short"), "cannot read text.safetensors"),
        (lambda f: edited(f, lambda c: c["text"].update(width=32)), "text.safetensors does not fit"),
        (lambda f: edited(f, lambda c: c["text"].update(heads=3)), "is not a multiple of 3 heads"),
        (lambda f: edited(f, lambda c: c["text"]["vocabulary"].update(label_words=[["ten"]])), "label_words"),
        (lambda f: edited(f, lambda c: c["network"].update(channels=[16, 16])), "model.safetensors does not fit"),
    ],
)
def test_a_broken_folder_says_why(tmp_path, breaks, says):
    clip = tiny_clip()
    save_checkpoint(tmp_path, clip.config, clip.network, clip.text)
    breaks(tmp_path)
    with pytest.raises(CheckpointError, match=says):
        load_clip(tmp_path)


def edited(folder, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("checkpoint", "fits"),
    [
        (tiny_checkpoint(UNCONDITIONAL), True),
        (tiny_checkpoint(IMAGES), False),  # reads labels: what is asked in words would not be shown to it
        (tiny_text_checkpoint(), False),  # reads text itself
        (tiny_checkpoint(UNCONDITIONAL, T=40), False),
        (tiny_checkpoint(UNCONDITIONAL.model_copy(update={"std": (100.0,)})), False),
    ],
)
def test_it_guides_unconditional_models_of_the_same_rows_and_noise(checkpoint, fits):
    assert tiny_clip().fits(checkpoint.config) is fits
