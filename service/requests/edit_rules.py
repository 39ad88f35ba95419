"""What a request may not begin from, as a table like that of `refusals`."""

from model.data import DataConfig
from model.samplers import SAMPLERS
from service.requests.edit_options import edit_options, start_of
from service.requests.given_columns import given_trouble, given_values
from service.requests.labels import index_of, listed
from service.requests.model_choice import Choice
from service.requests.rule import Rule
from service.requests.sampling_options import sampling_options

MAX_RESAMPLED_STEPS = 250
FARTHEST = 100  # deviations from the mean that a given value may be


def _too_far(c: Choice) -> str | None:
    """Which given value is too far from the data to mean anything, and what it may be."""
    data = c.config.data
    for index, value in given_values(c).items():
        low, high = farthest(data, index)
        if not low <= value <= high:
            return f"{data.columns[index]} is {low:g} … {high:g}, {FARTHEST} deviations around the data's mean"
    return None


def farthest(data: DataConfig, dimension: int) -> tuple[float, float]:
    """From where to where a value means anything, in the data's own units."""
    mean, std = (values[dimension] if len(values) > 1 else values[0] for values in (data.mean, data.std))
    return mean - FARTHEST * std, mean + FARTHEST * std


def _T(c: Choice) -> int:
    return c.served.checkpoint.schedule.T


def _draws_noise(c: Choice) -> bool:
    options = sampling_options(c)
    return SAMPLERS[options.sampler].stochastic or bool(options.eta)


def _without_noise() -> str:
    return ", ".join(f"{name} with eta 0" if spec.takes("eta") else name for name, spec in SAMPLERS.items()
                     if not spec.stochastic)  # fmt: skip


def _source(c: Choice) -> int | str | None:
    """The label of the picture that is inverted."""
    return None if c.request.init is None else c.request.init.label


def _known(c: Choice) -> bool:
    return c.request.mask is not None or c.request.given is not None


def _resampled(c: Choice) -> bool:
    return (edit_options(c).resample or 1) > 1


def _few_step(c: Choice) -> bool:
    return not c.config.predicts_posterior_mean


def _shares_given(c: Choice) -> int | None:
    mix = c.request.mix
    return None if mix is None else len(mix) if isinstance(mix, list) else 1


def _data(c: Choice) -> DataConfig:
    return c.config.data


def _few_step_rule(field: str) -> Rule:
    return Rule(
        field,
        lambda c: getattr(c.request, field) is not None and _few_step(c),
        lambda c: f"{c.name} is a few-step model, whose x̂0 is no posterior mean: ask another model",
    )


def _inversion_rule(field: str) -> Rule:
    return Rule(
        field,
        lambda c: getattr(c.request, field) is not None and c.request.asks_inversion,
        "does not go with inversion, which begins from the picture's own noise",
    )


EDIT_RULES: tuple[Rule, ...] = (
    # Between seeds
    Rule("mix", lambda c: c.request.mix is not None and c.request.seed_to is None, "needs seed_to, the other end"),
    Rule("mix", lambda c: c.request.mix == [], "an empty list; give one number for each sample, or none at all"),
    Rule(
        "mix",
        lambda c: _shares_given(c) not in (None, c.n),
        lambda c: f"{c.n} samples but {_shares_given(c)} of mix; give one for each, or none for a walk",
    ),
    Rule(
        "variations_of",
        lambda c: c.request.variations_of is not None and c.request.seed_to is not None,
        "does not go with seed_to; leave one of them away",
    ),
    # From a picture
    Rule(
        "init",
        lambda c: c.request.init is not None and _data(c).kind != "images",
        lambda c: f"applies to images only; {_data(c).dataset} has points, which keep `given` dimensions",
    ),
    Rule(
        "mask",
        lambda c: c.request.mask is not None and c.request.init is None,
        "needs the picture that it belongs to: give it as init.image",
    ),
    *(_few_step_rule(field) for field in ("init", "given")),
    Rule(
        "init.label",
        lambda c: _source(c) is not None and not c.request.asks_inversion,
        "applies to inversion only: what the samples are to be is `label`",
    ),
    Rule(
        "init.label",
        lambda c: _source(c) is not None and c.config.conditioning != "label",
        lambda c: f"{c.name} reads no labels: leave it away, and the picture is inverted unconditionally",
    ),
    Rule(
        "init.label",
        lambda c: (source := _source(c)) is not None and index_of(source, _data(c).labels) is None,
        lambda c: f"one of {listed(_data(c).labels)}, or its number 0 … {len(_data(c).labels) - 1}",
    ),
    Rule(
        "init.label",
        lambda c: c.config.needs_label and edit_options(c).inverts and _source(c) is None,
        lambda c: f"needed for inversion: {c.name} was trained with labels only, so say what the picture shows",
    ),
    Rule(
        "init.method",
        lambda c: c.request.asks_inversion and _draws_noise(c),
        lambda c: (
            f"inversion needs a sampler that draws no noise: {_without_noise()}; "
            f"the sampler is {sampling_options(c).sampler}"
        ),
    ),
    Rule(
        "init.strength",
        lambda c: (
            c.request.asks_inversion and c.served.checkpoint.schedule.alpha_bar[start_of(edit_options(c), _T(c))] == 0
        ),
        "below 1 with inversion here: at T nothing of the data is left",
    ),
    *(_inversion_rule(field) for field in ("seed_to", "variations_of")),
    # Given dimensions
    Rule(
        "given",
        lambda c: c.request.given is not None and _data(c).kind != "points",
        "applies to points only; an image is kept in part by init and mask",
    ),
    Rule("given", lambda c: c.request.given == {}, "nothing; name a dimension, or leave given away"),
    Rule(
        "given",
        lambda c: (trouble := given_trouble(c)) is not None and trouble.column is None,
        lambda c: str(given_trouble(c)),
    ),
    Rule(
        lambda c: f"given.{trouble.column}" if (trouble := given_trouble(c)) is not None else "given",
        lambda c: given_trouble(c) is not None,
        lambda c: str(given_trouble(c)),
    ),
    Rule(
        "given",
        lambda c: c.request.given is not None and len(given_values(c)) == len(_data(c).columns),
        "leaves nothing to draw: all dimensions are given",
    ),
    Rule("given", lambda c: c.request.given is not None and _too_far(c) is not None, lambda c: _too_far(c) or ""),
    # Again and again
    Rule(
        "resample",
        lambda c: c.request.resample is not None and not _known(c),
        "applies where something is kept: with mask, or given",
    ),
    Rule(
        "resample",
        lambda c: _resampled(c) and c.request.asks_inversion,
        "1 with inversion: to noise a row again loses what was inverted",
    ),
    Rule(
        "resample",
        lambda c: _resampled(c) and sampling_options(c).variance == "learned",
        "1 with a learned variance, or choose fixed-small or fixed-large",
    ),
    Rule(
        "steps",
        lambda c: _resampled(c) and sampling_options(c).steps > MAX_RESAMPLED_STEPS,
        f"1 … {MAX_RESAMPLED_STEPS} where each is taken again (resample)",
    ),
)  # fmt: skip
