"""Bits per dimension where they are known: the exact model of a Gaussian, and sums of what the terms are."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig, load_checkpoint
from model.data import DataConfig
from model.denoiser import Denoiser
from model.noise_schedule import make_schedule
from tests.oracles import MixtureOracle
from tests.tiny import IMAGES, save_tiny, tiny_checkpoint, tiny_text_checkpoint
from training.__main__ import app
from training.data.synthetic_points import GaussianMixture
from training.data.training_set import Examples
from training.evaluate.command import likelihood
from training.evaluate.sampling_run import SamplingRun
from training.metrics.bits_per_dimension import bits_per_dimension
from training.recipe import RecipeError

SCHEDULE = make_schedule("cosine", 1000)
DATA = DataConfig(dataset="test", kind="points", shape=(1,))


def exact_denoiser(raw_variance: float) -> Denoiser:
    """Of N(0, 1), with a "learned" variance whose raw output is that number."""
    oracle = MixtureOracle(SCHEDULE, [[0.0]], 1.0, target="epsilon")

    def network(x_t, t, label):
        mean = oracle(x_t, t, label)
        return torch.cat([mean, torch.full_like(mean, raw_variance)], dim=1)

    return Denoiser(network, SCHEDULE, "epsilon", learned_variance=True)


@pytest.mark.parametrize("steps", [1, 10, 50])
def test_the_exact_model_pays_the_entropy_and_either_fixed_variance_pays_more(steps):
    rows = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(3))
    bits = bits_per_dimension(exact_denoiser(1.0), DATA, rows, steps)
    entropy = math.log2(2 * math.pi * math.e) / 2
    learned = bits["learned"]
    assert learned.mean == pytest.approx(entropy, abs=4 * learned.standard_error)
    assert learned.standard_error < 0.02
    for fixed in ("fixed-small", "fixed-large"):
        assert bits[fixed].mean >= learned.mean - 1e-6
    assert bits["fixed-small"].mean > learned.mean + (0.02 if steps > 1 else -1e-6)


def test_a_learned_variance_that_stands_at_an_end_is_that_fixed_variance_but_for_the_last_step():
    rows = torch.randn(500, 1, generator=torch.Generator().manual_seed(3))
    small, large = (bits_per_dimension(exact_denoiser(raw), DATA, rows, 20) for raw in (-1.0, 1.0))
    torch.testing.assert_close(small["learned"].terms, small["fixed-small"].terms)
    torch.testing.assert_close(large["learned"].terms[:-1], large["fixed-large"].terms[:-1])


def test_rows_are_the_sum_of_their_terms_and_do_not_depend_on_their_batch():
    checkpoint = tiny_checkpoint(IMAGES, learned_variance=True)
    rows = torch.randint(0, 256, (70, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    denoiser = checkpoint.denoiser()
    told = []
    all_at_once = bits_per_dimension(denoiser, IMAGES, rows, 5, advance=told.append)
    assert sum(told) == 70 * 5
    for bits in all_at_once.values():
        assert bits.mean == pytest.approx(bits.prior + bits.terms.sum().item(), rel=1e-9)
    few = bits_per_dimension(denoiser, IMAGES, rows[64:], 5, seed=64)
    for variance, bits in few.items():
        torch.testing.assert_close(bits.rows, all_at_once[variance].rows[64:], rtol=1e-4, atol=1e-4)


def test_a_denoiser_without_a_learned_variance_has_the_two_fixed_ones():
    checkpoint = tiny_checkpoint(IMAGES)
    assert set(bits_per_dimension(checkpoint.denoiser(), IMAGES, torch.zeros(2, 1, 8, 8), 3)) == {
        "fixed-small",
        "fixed-large",
    }


def test_a_denoiser_that_reads_prompts_is_asked_for_none():
    checkpoint = tiny_text_checkpoint()
    denoiser = checkpoint.denoiser()
    shown = []
    network = denoiser.network
    denoiser.network = lambda x, t, text: (shown.append(text), network(x, t, text))[1]
    rows = torch.zeros(3, 1, 8, 8)
    assert bits_per_dimension(denoiser, checkpoint.config.data, rows, 2)["fixed-small"].rows.isfinite().all()
    assert len(shown) == 2 and all(torch.equal(text, torch.zeros(3, 8)) for text in shown)


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(likelihood, "RESPACED", 5)
    monkeypatch.setattr(likelihood, "LIKELIHOOD_ROWS", 60)
    monkeypatch.setattr(likelihood, "FULL_CHAIN_ROWS", 30)


def test_evaluate_likelihood_measures_both_chains_and_tells_the_card(tmp_path, few_rows):
    folder = save_tiny(tmp_path, GaussianMixture.config, name="gaussian-tiny", learned_variance=True)
    arguments = ["evaluate", "gaussian-tiny", "--likelihood", "--checkpoints", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    metrics = json.loads(result.stdout)
    assert {name: of["samples"] for name, of in metrics.items()} == {
        "likelihood, 5 steps": 60,
        "likelihood, 50 steps": 30,
    }
    assert load_config(folder, DenoiserConfig).metrics == metrics
    card = (folder / "README.md").read_text()
    assert "| bits learned |" in card and "](likelihood.png)" in card
    rows = GaussianMixture().held_out.some(60).rows
    checkpoint = load_checkpoint(folder)
    bits = bits_per_dimension(checkpoint.denoiser(), checkpoint.config.data, rows, 5)
    for variance in ("learned", "fixed-small", "fixed-large"):
        found = metrics["likelihood, 5 steps"][f"bits_{variance.replace('-', '_')}"]
        assert found == pytest.approx(bits[variance].mean, rel=1e-4)


def test_a_chain_that_is_done_is_kept_whatever_becomes_of_the_next(tmp_path, few_rows, monkeypatch):
    folder = save_tiny(tmp_path, GaussianMixture.config, name="gaussian-tiny", learned_variance=True)
    measure = likelihood.measure_likelihood

    def only_the_first(checkpoint, steps, run, **rest):
        if steps == 50:
            raise KeyboardInterrupt
        return measure(checkpoint, steps, run, **rest)

    monkeypatch.setattr(likelihood, "measure_likelihood", only_the_first)
    with pytest.raises(KeyboardInterrupt):
        likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu")))
    assert list(load_config(folder, DenoiserConfig).metrics) == ["likelihood, 5 steps"]


def test_what_cannot_be_compiled_is_said_before_anything_is_measured(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    for asked in (["evaluate", "any"], ["report"]):
        result = CliRunner().invoke(app, [*asked, "--compile"])
        assert result.exit_code == 2 and "--compile" in result.output and "no-such-compiler" in result.output


def test_a_quick_look_at_the_likelihood_is_not_written_down(tmp_path, few_rows):
    folder = save_tiny(tmp_path, GaussianMixture.config, name="gaussian-tiny", learned_variance=True)
    likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu")), samples=20)
    assert load_config(folder, DenoiserConfig).metrics == {} and not (folder / "likelihood.png").exists()


def test_of_a_chain_as_short_as_the_respaced_one_all_rows_are_measured_once(tmp_path, few_rows):
    folder = save_tiny(tmp_path, GaussianMixture.config, name="gaussian-tiny", T=5)
    found = likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu")))
    assert {name: of["samples"] for name, of in found.items()} == {"likelihood, 5 steps": 60}
    assert (folder / "likelihood.png").exists()


def test_a_likelihood_of_points_is_measured_in_float32(tmp_path, few_rows):
    folder = save_tiny(tmp_path, GaussianMixture.config, name="gaussian-tiny")
    with pytest.raises(RecipeError, match="points are measured and served in float32"):
        likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu"), precision="bfloat16"))


def test_a_likelihood_in_bfloat16_does_not_take_the_place_of_that_in_float32(tmp_path, few_rows, monkeypatch):
    folder = save_tiny(tmp_path, name="mnist-tiny", T=5)
    images = torch.zeros(60, 1, 8, 8)
    monkeypatch.setattr(
        "training.evaluate.likelihood.trained_on",
        lambda config: SimpleNamespace(held_out=Examples(images, torch.zeros(60, dtype=torch.long))),
    )
    found = likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu"), precision="bfloat16"))
    assert (
        found["likelihood, 5 steps"]["computed_in"] == "bfloat16" and load_config(folder, DenoiserConfig).metrics == {}
    )
    likelihood.evaluate_likelihood(folder, SamplingRun(torch.device("cpu")))
    assert load_config(folder, DenoiserConfig).metrics["likelihood, 5 steps"]["computed_in"] == "float32"


def test_likelihood_takes_no_sampling_options(tmp_path):
    result = CliRunner().invoke(app, ["evaluate", "any", "--likelihood", "--steps", "5"])
    assert isinstance(result.exception, RecipeError) and "draws no samples" in str(result.exception)


@pytest.mark.parametrize("emulated", [False, True])
def test_a_measurement_by_emulation_says_that_it_takes_long(monkeypatch, tmp_path, emulated):
    save_tiny(tmp_path, IMAGES)
    monkeypatch.setattr("training.__main__.has_bfloat16", lambda device: not emulated)
    monkeypatch.setattr("training.__main__.evaluate_likelihood", lambda folder, run, samples: {})
    arguments = ["evaluate", "mnist-tiny", "--likelihood", "--precision", "bfloat16", "--checkpoints", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and result.stdout.strip() == "{}"
    assert ("mnist-tiny: cpu emulates bfloat16" in result.stderr) == emulated
