"""Which measurements the report has, and what follows from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from model.checkpoints.config import SamplingConfig
from model.checkpoints.control import ControlConfig
from model.checkpoints.denoiser import DenoiserConfig
from model.conditions import Conditioning
from model.plan import make_plan
from model.sampler_spec import Variance, variances_of
from model.samplers import SAMPLERS
from training.metrics.nearest_neighbours import REAL_SHARE

STEPS = (4, 6, 10, 20, 50)
MORE_STEPS = {"ddpm": (100, 1000)}  # step counts that only this sampler is worth measuring at
MORE_STEPS_OF_POINTS = {"dpmpp-2m": (15,)}
SCALES = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
GRADIENT_SCALES = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0)  # of a classifier's or CLIP's gradient
AUTOGUIDANCE_SCALES = (1.25, 1.5, 2.0, 3.0)  # 1 is the denoiser alone
CONTROL_SCALES = (0.0, 0.5, 1.0, 1.5, 2.0)
HINT_SCALES = (1.0, 2.0, 3.0, 5.0)  # guidance scales of a lone hint
INTERVALS = (None, (0.0, 3.0), (0.2, 3.0), (0.3, 5.0))  # noise levels of classifier-free guidance
SCALES_WITHIN: Mapping[Conditioning, tuple[float, ...]] = {"label": (1.5, 2.0, 3.0), "text": (5.0,)}
SCALES_AT: tuple[str, int] = ("dpmpp-2m", 20)
SCALE_OF_STEPS = 1.3  # steps are compared at it where a card's own scale holds within an interval only
HEADLINE: tuple[tuple[str, int], ...] = (("dpmpp-2m", 20), ("ddim", 50), ("dpmpp-2m", 10))

SAMPLES = 2_000  # for one setting
FULL_CHAIN_SAMPLES = 1_000  # for one setting with 1000 steps
HEADLINE_SAMPLES = 10_000  # for one headline setting of images
WITHIN = 0.1  # share of the best quality that the advised settings may lose for being cheap …
PRECISION_WITHIN = 0.005  # … and of the best precision, for points: distances hardly see a few strays


@dataclass(frozen=True)
class Setting:
    """One measurement of a pipeline.

    guidance_scale  scales the gradient if the pipeline has a guidance model, the distance from its weak network if it
                    has that, and the hint if the hint is alone
    control_scale   scales what the ControlNet adds; 0 without one
    alone           no label goes with the hint
    eta             of a sampler that takes it
    captioned       prompts are captions like those of real images; otherwise held-out prompts, all equally often
    guidance_interval  noise levels at which the scale holds; None is all of them
    """

    sampler: str
    steps: int
    guidance_scale: float
    variance: Variance = "fixed-small"
    samples: int = SAMPLES
    control_scale: float = 0.0
    alone: bool = False
    captioned: bool = False
    guidance_interval: tuple[float, float] | None = None
    eta: float = 0.0

    @property
    def method(self) -> str:
        """The sampler, with its variance if it takes one, and its eta if it has any."""
        variance = f", {self.variance}" if SAMPLERS[self.sampler].takes("variance") else ""
        return self.sampler + variance + (f", η {self.eta:g}" if self.eta else "")

    @property
    def evaluations(self) -> int:
        """Network evaluations a sample, without guidance."""
        return SAMPLERS[self.sampler].evaluations(self.steps)

    @property
    def options(self) -> SamplingConfig:
        return SamplingConfig(
            sampler=self.sampler,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            variance=self.variance,
            guidance_interval=self.guidance_interval,
            eta=self.eta,
        )


Measured = Mapping[Setting, Mapping[str, Any]]
"""Setting → the metrics that `training.evaluate` measured."""


def methods(config: DenoiserConfig) -> list[tuple[str, Variance]]:
    """Every sampler that the report measures, with every variance of the checkpoint if it takes one.

    A new sampler is left out until `reported` in its spec says that its settings have been measured.
    """
    variances = variances_of(config.prediction.learned_variance)
    return [
        (sampler, variance)
        for sampler, spec in SAMPLERS.items()
        if spec.reported
        for variance in (variances if spec.takes("variance") else variances[:1])
    ]


def scale_of_steps(config: DenoiserConfig) -> float:
    """The guidance scale at which samplers and steps are compared. It holds at every noise level."""
    sampling = config.sampling
    return sampling.guidance_scale if sampling.guidance_interval is None else SCALE_OF_STEPS


def by_steps(config: DenoiserConfig) -> list[Setting]:
    """Sampler × steps, at one guidance scale."""
    T, scale = config.schedule.T, scale_of_steps(config)
    settings = []
    for sampler, variance in methods(config):
        more = MORE_STEPS_OF_POINTS.get(sampler, ()) if config.data.kind == "points" else ()
        for steps in sorted({*STEPS, *more, *MORE_STEPS.get(sampler, ())}):
            if steps <= T:
                samples = FULL_CHAIN_SAMPLES if steps >= 1000 else SAMPLES
                settings.append(
                    Setting(sampler, steps, scale, variance, samples, captioned=config.conditioning == "text")
                )
    return settings


def scales_at(T: int) -> tuple[str, int]:
    """The sampler and step count at which scales are compared: fewer steps where the schedule has fewer."""
    sampler, steps = SCALES_AT
    return sampler, min(steps, T)


def by_scale(config: DenoiserConfig, scales: tuple[float, ...], advised: float) -> list[Setting]:
    """Guidance scales, and the one that the card advises, at one sampler and step count."""
    return [Setting(*scales_at(config.schedule.T), scale) for scale in sorted({*scales, advised})]


def by_scale_with_noise(config: DenoiserConfig, scales: tuple[float, ...], advised: float) -> list[Setting]:
    """The same settings with the ancestral sampler, whose noise corrects errors of earlier guidance."""
    settings = by_scale(config, scales, advised)
    return [replace(setting, sampler="ddpm", variance=config.sampling.variance) for setting in settings]


def by_interval(config: DenoiserConfig) -> list[Setting]:
    """Guidance scales × intervals, with the sampler and the steps that compare scales. None for an unconditional
    network, and for a student, which takes one evaluation at every scale."""
    if config.conditioning is None or config.distilled is not None:
        return []
    captioned = config.conditioning == "text"
    return [
        Setting(*scales_at(config.schedule.T), scale, captioned=captioned, guidance_interval=interval)
        for scale in SCALES_WITHIN[config.conditioning]
        for interval in INTERVALS
    ]


def guided_evaluations(config: DenoiserConfig, setting: Setting) -> int:
    """Network evaluations of a sample under classifier-free guidance."""
    plan = make_plan(config.schedule.build(), setting.sampler, setting.steps, variance=setting.variance)
    rows = setting.options.conditions(1, label=0)  # a prompt costs as much
    return int(rows.network_evaluations_by_step(torch.tensor(plan.noise_level)).sum())


def as_advised(sampling: SamplingConfig) -> Setting:
    """As the cards advise, with as many samples as there are real test images."""
    return _setting(sampling, samples=HEADLINE_SAMPLES)


def by_control_scale(base: DenoiserConfig, control: ControlConfig) -> list[Setting]:
    """Scales of a hint, with its label and alone. The cards advise the rest, except the steps: those of all scales."""
    ways = [(True, _at_steps(base, control.sampling.applied_to(base.sampling)))]
    if base.conditioning == "label":
        ways.insert(0, (False, _at_steps(base, base.sampling)))
    scales = sorted({*CONTROL_SCALES, control.control_scale})
    return [_setting(of, control_scale=scale, alone=alone) for alone, of in ways for scale in scales]


def by_hint_guidance(base: DenoiserConfig, control: ControlConfig) -> list[Setting]:
    """Guidance scales of a hint that is alone, at the control scale that its card advises and in as many steps."""
    scales = sorted({*HINT_SCALES, control.sampling.guidance_scale})
    advised = _at_steps(base, control.sampling.applied_to(base.sampling))
    samplers = sorted({base.sampling.sampler, advised.sampler})
    of = [{"sampler": sampler, "guidance_scale": scale} for sampler in samplers for scale in scales]
    return [_setting(advised.model_copy(update=one), control_scale=control.control_scale, alone=True) for one in of]


def _at_steps(base: DenoiserConfig, sampling: SamplingConfig) -> SamplingConfig:
    """In as many steps as scales are compared at."""
    _, steps = scales_at(base.schedule.T)
    return sampling.model_copy(update={"steps": steps})


def _setting(
    sampling: SamplingConfig, *, samples: int = SAMPLES, control_scale: float = 0.0, alone: bool = False
) -> Setting:
    variance = sampling.variance if SAMPLERS[sampling.sampler].takes("variance") else Setting.variance
    return Setting(
        sampling.sampler,
        sampling.steps,
        sampling.guidance_scale,
        variance,
        samples=samples,
        control_scale=control_scale,
        alone=alone,
        guidance_interval=sampling.guidance_interval,
        eta=sampling.eta if SAMPLERS[sampling.sampler].takes("eta") else Setting.eta,
    )


def headline(config: DenoiserConfig) -> list[Setting]:
    """What is measured with as many samples as there are real test images."""
    if config.data.kind != "images" or config.conditioning == "text":
        return []
    T, scale, samples = config.schedule.T, scale_of_steps(config), HEADLINE_SAMPLES
    settings = [Setting(sampler, min(steps, T), scale, samples=samples) for sampler, steps in HEADLINE]
    if config.data.labels:
        settings.append(Setting(*scales_at(T), 1.0, samples=samples))
    if config.sampling.guidance_interval is not None:
        settings.append(as_advised(config.sampling))
    return list(dict.fromkeys(settings))


def quality(metrics: Mapping[str, Any]) -> float:
    """Less is better: how far from real, as a multiple of what real data is from itself.

    Infinite where that multiple is none, as of points that are all the same, or is no number.
    """
    return _or(math.inf, metrics.get("frechet_ratio", metrics.get("sliced_wasserstein_ratio", math.inf)))


def _or(worst: float, value: float) -> float:
    """The value, or the worst one where it is no number: a comparison with NaN would say nothing."""
    return float(value) if math.isfinite(value) else worst


def cheapest(config: DenoiserConfig, measured: Measured) -> Setting | None:
    """The fewest network evaluations within 10 % of the best quality of sampler × steps; among equals, the best.

    For points, the precision is also within half a point of the best, and no more samples are far off the data's curve,
    if it has one, than with the best setting. Points that are nearer to real points than real
    points are to each other owe it to luck, and count as equally near. So do points of more than a real set's
    precision. Images may well be nearer, because their floor is the distance of other real images. Settings with fewer
    samples do not count: their metrics are noisier. None until all settings have been measured, or if none has a
    quality, or is good in both respects.
    """
    compared = [setting for setting in by_steps(config) if setting.samples == SAMPLES]
    if not compared or not all(setting in measured for setting in compared):
        return None
    nearest = 0.0 if config.data.kind == "images" else 1.0
    known = {setting: max(nearest, quality(measured[setting])) for setting in compared}
    best = min(known.values())
    good = [setting for setting, value in known.items() if value <= (1 + WITHIN) * best < math.inf]
    if config.data.kind == "points":
        precise = {setting: min(REAL_SHARE, _or(0.0, measured[setting]["precision"])) for setting in compared}
        least = max(precise.values()) - PRECISION_WITHIN
        far = {setting: _or(math.inf, measured[setting].get("far_off_curve", 0.0)) for setting in compared}
        good = [setting for setting in good if precise[setting] >= least and far[setting] <= min(far.values())]
    return min(good, key=lambda setting: (setting.evaluations, quality(measured[setting])), default=None)
