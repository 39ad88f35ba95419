"""Weights of openai's improved- and guided-diffusion: diffusers' class of the same architecture is the oracle."""

from itertools import zip_longest

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import nn

from model.checkpoints.denoiser import load_checkpoint
from model.conditions import NO_LABEL, Conditions
from model.networks.adapters.guided_unet import AttentionBlock, GuidedUNet, ResidualBlock
from model.plan import make_plan
from model.sampling_loop import sample
from tests.foreign import sampled_by_diffusers
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions, ImportRefused

SEEDS = torch.tensor([5, 6])
FLAGS = "--image_size 8 --num_channels 32 --channel_mult 1,2 --num_res_blocks 1 --attention_resolutions 4"
GUIDED = f"{FLAGS} --num_head_channels 16 --resblock_updown True --learn_sigma True --class_cond True"
IMPROVED = f"{FLAGS} --num_heads 2 --use_scale_shift_norm False --lr 1e-4"
NETWORK = {
    "shape": (3, 8, 8), "width": 32, "multiples": (1, 2), "blocks": 1, "attention": (2,), "heads": 2, "heads_up": 2,
    "heads_outside": False, "timestep_scale": 1.0,
}  # fmt: skip


def guided() -> GuidedUNet:
    options = {"labels": 5, "learned_variance": True, "head_width": 16, "modulated": True, "residual_sampling": True}
    return randomised(GuidedUNet(**NETWORK, **options))


def improved() -> GuidedUNet:
    options = {"labels": 0, "learned_variance": False, "head_width": None, "modulated": False}
    return randomised(GuidedUNet(**NETWORK, **options, residual_sampling=False))


def randomised(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def of_diffusers(network: GuidedUNet, is_guided: bool) -> UNet2DModel:
    """The same network in diffusers' class."""
    plain = "ResnetDownsampleBlock2D" if is_guided else "DownBlock2D"
    kind, shift = ("resnet", "scale_shift") if is_guided else ("conv", "default")
    theirs = UNet2DModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=32, attn_norm_num_groups=32,
        down_block_types=(plain, "AttnDownBlock2D"), downsample_type=kind, upsample_type=kind,
        up_block_types=("AttnUpBlock2D", plain.replace("Downsample", "Upsample").replace("Down", "Up")),
        resnet_time_scale_shift=shift, attention_head_dim=16 if is_guided else 32,
        out_channels=6 if is_guided else 3, num_class_embeds=5 if is_guided else None,
    )  # fmt: skip
    copy(network.input_blocks[0][0], theirs.conv_in)
    copy(network.time_embed[0], theirs.time_embedding.linear_1)
    copy(network.time_embed[2], theirs.time_embedding.linear_2)
    if is_guided:
        theirs.class_embedding.weight.data.copy_(network.label_emb.weight)
    blocks = [*network.input_blocks[1:], network.middle_block, *network.output_blocks]
    own = [layer for block in blocks for layer in block]
    for ours, other in zip(own, layers_of(theirs), strict=True):
        copy_layer(ours, other)
    copy(network.out[0], theirs.conv_norm_out)
    copy(network.out[2], theirs.conv_out)
    return theirs.eval()


def layers_of(network: UNet2DModel):
    """Residual blocks, attention and resampling, in the order in which they run."""
    for block in (*network.down_blocks, network.mid_block, *network.up_blocks):
        for pair in zip_longest(block.resnets, getattr(block, "attentions", [])):
            yield from (one for one in pair if one is not None)
        for samplers in ("downsamplers", "upsamplers"):
            yield from getattr(block, samplers, None) or []


def copy(ours, theirs):
    theirs.weight.data.copy_(ours.weight)
    theirs.bias.data.copy_(ours.bias)


def copy_layer(ours, theirs):
    if isinstance(ours, ResidualBlock):
        copy(ours.in_layers[0], theirs.norm1), copy(ours.in_layers[2], theirs.conv1)
        copy(ours.emb_layers[1], theirs.time_emb_proj)
        copy(ours.out_layers[0], theirs.norm2), copy(ours.out_layers[3], theirs.conv2)
        if theirs.conv_shortcut is not None:
            copy(ours.skip_connection, theirs.conv_shortcut)
    elif isinstance(ours, AttentionBlock):
        copy(ours.norm, theirs.group_norm)
        # Channels are divided into heads first, and each head's into q, k and v.
        for index, theirs_part in enumerate((theirs.to_q, theirs.to_k, theirs.to_v)):
            for name in ("weight", "bias"):
                whole = getattr(ours.qkv, name).squeeze(-1)
                parts = whole.view(ours.heads, 3, -1, *whole.shape[1:])
                getattr(theirs_part, name).data.copy_(parts[:, index].flatten(0, 1))
        theirs.to_out[0].weight.data.copy_(ours.proj_out.weight.squeeze(-1))
        theirs.to_out[0].bias.data.copy_(ours.proj_out.bias)
    else:
        copy(getattr(ours, "op", None) or ours.conv, theirs.conv)


def imported(tmp_path, network, flags):
    torch.save(network.state_dict(), tmp_path / "model.pt")
    folder, found = import_model(tmp_path / "model.pt", tmp_path / "checkpoints", ImportOptions("own", flags=flags))
    return load_checkpoint(folder), found.config


def sampled(checkpoint, sampler, steps, label=NO_LABEL, **options):
    plan = make_plan(checkpoint.schedule, sampler, steps, **options)
    conditions = Conditions.alike(len(SEEDS), label=label, guidance_scale=1.0)
    return sample(checkpoint.denoiser(), plan, conditions, SEEDS, checkpoint.data.shape)


def test_guided_diffusion_with_classes_and_a_learned_variance(tmp_path):
    network = guided()
    checkpoint, config = imported(tmp_path, network, GUIDED)
    assert (config.sampling.sampler, config.sampling.steps, config.sampling.variance) == ("ddpm", 1000, "learned")
    assert config.data.labels == tuple("01234") and config.needs_label
    scheduler = DDPMScheduler(variance_type="learned_range", timestep_spacing="linspace")
    theirs = sampled_by_diffusers(of_diffusers(network, True), scheduler, 10, SEEDS, torch.full((2,), 3))
    torch.testing.assert_close(sampled(checkpoint, "ddpm", 10, 3, variance="learned"), theirs, rtol=0, atol=1e-4)


def test_improved_diffusion_by_both_samplers(tmp_path):
    network = improved()
    checkpoint, config = imported(tmp_path, network, f"{IMPROVED} --noise_schedule cosine --timestep_respacing ddim10")
    assert (config.sampling.sampler, config.sampling.steps, config.sampling.variance) == ("ddim", 10, "fixed-large")
    other = of_diffusers(network, False)
    cosine = {"beta_schedule": "squaredcos_cap_v2"}
    theirs = sampled_by_diffusers(other, DDIMScheduler(**cosine), 10, SEEDS, use_clipped_model_output=True)
    torch.testing.assert_close(sampled(checkpoint, "ddim", 10), theirs, rtol=0, atol=1e-4)
    scheduler = DDPMScheduler(**cosine, variance_type="fixed_large")
    theirs = sampled_by_diffusers(other, scheduler, 10, SEEDS)
    torch.testing.assert_close(sampled(checkpoint, "ddpm", 10, variance="fixed-large"), theirs, rtol=0, atol=1e-4)


def test_a_network_in_bfloat16_is_nearly_that_in_float32():
    """It reads rows in float32, whatever its weights are."""
    torch.manual_seed(0)
    network = randomised(guided())
    x, t, label = torch.randn(2, 3, 8, 8), torch.tensor([3, 700]), torch.tensor([0, 3])
    with torch.inference_mode():
        expected, found = network(x, t, label), network.bfloat16()(x, t, label).float()
    assert (found - expected).std() < 0.05 * expected.std()


def test_the_new_attention_order_is_another_division_of_the_same_channels():
    torch.manual_seed(0)
    inside, outside = AttentionBlock(64, 2, False), AttentionBlock(64, 2, True)
    outside.load_state_dict(inside.state_dict())
    for part in (outside.qkv.weight, outside.qkv.bias):
        part.data = part.data.unflatten(0, (2, 3, 32)).transpose(0, 1).flatten(0, 2)
    x = torch.randn(2, 64, 4, 4)
    torch.testing.assert_close(outside(x), inside(x))


def test_rescaled_timesteps_are_those_of_a_thousand(tmp_path):
    checkpoint, _ = imported(tmp_path, improved(), f"{IMPROVED} --diffusion_steps 4000 --rescale_timesteps True")
    x, label = torch.randn(1, 3, 8, 8), torch.tensor([NO_LABEL])
    with torch.no_grad():
        found = checkpoint.network(x, torch.tensor([4 * 200 + 1]), label)
        torch.testing.assert_close(found, improved()(x, torch.tensor([200 + 1]), label))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (None, "--flags"),
        (f"{IMPROVED} --more", "give names with values"),
        (f"{IMPROVED} --large_size 256", "--large_size"),
        (f"{IMPROVED} --noise_schedule sqrt", "supported are linear and cosine"),
        (f"{IMPROVED} --timestep_respacing 10,20", "a number of steps, and ddim"),
        (f"{IMPROVED} --image_size 48 --channel_mult=", "need --channel_mult"),
        (f"{IMPROVED} --num_res_blocks 2", "tensors are missing"),
        (f"{IMPROVED} --learn_sigma True", "of another shape than the config says: out.2"),
        (f"{IMPROVED} --class_cond True", "1 tensors are missing: label_emb.weight"),
        (f"{IMPROVED} --num_channels 40", "multiples of 32"),
        (f"{IMPROVED} --num_heads 5", "do not split into 5 heads"),
        (f"{IMPROVED} --image_size '8", "No closing quotation"),
        (f"{IMPROVED} --attention_resolutions 0", "numbers above 0"),
        (f"{IMPROVED} --channel_mult 1,nan", "numbers above 0"),
        (f"{IMPROVED} --diffusion_steps 0 --rescale_timesteps True", "--diffusion_steps: "),
        (f"{IMPROVED} --num_res_blocks 1000000000", "--num_res_blocks: "),
        (f"{IMPROVED} --num_channels 10000000000000", "--num_channels: "),
    ],
)
def test_flags_of_another_model(flags, says, tmp_path):
    with pytest.raises(ImportRefused, match=says):
        imported(tmp_path, improved(), flags)
    assert not (tmp_path / "checkpoints").exists() or list((tmp_path / "checkpoints").iterdir()) == []


def test_a_number_for_a_table_of_classes_is_named(tmp_path):
    network = improved()
    network.label_emb = torch.nn.Module()
    network.label_emb.weight = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ImportRefused, match=r"of another shape than the config says: label_emb\.weight"):
        imported(tmp_path, network, f"{IMPROVED} --class_cond True")
