"""Masks of what is known: some of every image is, some is not, and those of a kind look it."""

import torch

from model.hints import known_hint
from tests.tiny import IMAGES
from training.data.hinted_images import HintedImages
from training.data.random_masks import SHARE, _box, _patches, _side, random_kept
from training.data.training_set import Examples, FiniteSet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_some_of_nearly_every_image_is_known_and_some_is_not():
    share = random_kept(3000, 28, 20, generator()).float().mean((1, 2, 3))
    assert ((share > 0) & (share < 1)).float().mean() > 0.99
    assert 0.5 < share.mean() < 0.7


def test_a_side_ends_at_a_straight_line_and_often_at_an_upright_one():
    erased = _side(400, 16, 16, generator())
    columns, rows = (erased == erased[:, :1]).flatten(1).all(1), (erased == erased[:, :, :1]).flatten(1).all(1)
    partly = erased.flatten(1).any(1) & ~erased.flatten(1).all(1)
    assert 0.35 < ((columns | rows) & partly).float().mean() < 0.7
    for one in erased[partly]:  # a half plane and its complement are convex: no row changes twice
        assert (one[:, 1:] != one[:, :-1]).sum(1).max() <= 1


def test_a_box_is_one():
    for one in _box(200, 16, 12, generator()):
        down, across = one.any(1), one.any(0)
        assert one.any() and not one.all() and torch.equal(one, down[:, None] & across[None])
        assert (down[1:] != down[:-1]).sum() <= 2


def test_patches_cover_what_they_are_to_cover():
    share = _patches(300, 28, 28, generator()).float().mean((1, 2))
    assert share.min() >= SHARE[0] - 0.002 and share.max() <= SHARE[1] + 0.002
    assert share.std() > 0.1


def test_a_hint_has_the_grey_of_what_is_known_above_a_half_and_nothing_elsewhere():
    images = torch.tensor([0.0, 255.0, 51.0]).view(1, 1, 1, 3)
    kept = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    assert known_hint(images, kept).flatten().tolist() == [0.5, 1.0, 0.0]
    red = torch.tensor([255.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert known_hint(red, torch.ones(1, 1, 1, 1, dtype=torch.bool)).item() == torch.tensor(0.5 + 0.299 / 2)


def test_images_are_hinted_by_masks_of_their_own():
    rows = torch.randint(0, 256, (20, *IMAGES.shape), generator=generator(), dtype=torch.uint8)
    few = Examples(rows, torch.arange(20) % 10)
    images, hints = HintedImages(FiniteSet(IMAGES, few, few), "inpainting").draw(64, generator(1))[0].split(1, dim=1)
    known = hints > 0
    assert torch.equal(torch.where(known, (hints - 0.5) * 510, 0.0).round(), torch.where(known, images, 0.0))
    assert len({one.numpy().tobytes() for one in known}) > 55
