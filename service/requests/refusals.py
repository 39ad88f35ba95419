"""What a request may not ask, as a table: when, which field is wrong, and what it may be instead."""

from pydantic import BaseModel

from model.conditions import CONTROL_KINDS
from model.sampler_spec import OptionName, SamplerSpec
from model.samplers import SAMPLERS, samplers_with
from service.engine.served_model import Served
from service.http.problems import invalid
from service.requests.edit_rules import EDIT_RULES
from service.requests.guidance_options import guidance_options, guidances
from service.requests.labels import listed
from service.requests.model_choice import GRADIENT_GUIDANCE, Choice, models_with_prompts
from service.requests.picture_options import MAX_PICTURE, axes_of, largest_zoom
from service.requests.rule import Rule
from service.requests.sampling_options import sampling_options
from service.requests.schemas import MAX_ROWS


def refuse(choice: Choice) -> None:
    """Raises Problem (422) by the first rule that holds. Each rule may assume that none before it does."""
    for rule in RULES:
        if rule.when(choice):
            text = rule.text if isinstance(rule.text, str) else rule.text(choice)
            field = rule.field if isinstance(rule.field, str) else rule.field(choice)
            raise invalid(field, text, _given(choice, field))


# --- when


def _hinted(c: Choice) -> bool:
    return c.request.control is not None


def _prompted(c: Choice) -> bool:
    return c.conditioning == "text"


def _labelled(c: Choice) -> bool:
    """Is a label given, and no prompt?"""
    return c.conditioning == "label"


def _guidable(c: Choice) -> bool:
    return c.conditioning is not None or c.hint is not None or _auto(c)


def _auto(c: Choice) -> bool:
    return c.request.guidance == "auto"


def _pinned(c: Choice) -> bool:
    return c.request.model is not None


def _lacks_hint(c: Choice) -> bool:
    return _hinted(c) and c.control is None


def _labels_given(c: Choice) -> int | None:
    """The length of a list of labels; None without a list."""
    return len(c.request.label) if isinstance(c.request.label, list) else None


def _max_n(c: Choice) -> int:
    return MAX_ROWS[c.config.data.kind]


def _T(c: Choice) -> int:
    return c.served.checkpoint.schedule.T


def _sampler(c: Choice) -> SamplerSpec:
    return SAMPLERS[sampling_options(c).sampler]


def _unguidable(c: Choice) -> bool:
    """Is it guided, though it has no unconditional half?"""
    return c.config.needs_label and c.guidance == "classifier-free" and guidance_options(c).guidance_scale != 1


def _refused_by_few_step(c: Choice) -> tuple[str, str]:
    """The field that a few-step model refuses, and what the field may be; two empty strings where it refuses none."""
    if c.config.predicts_posterior_mean:
        return "", ""
    options, guidance = sampling_options(c), guidance_options(c)
    asked = {
        "sampler": options.sampler,
        "steps": options.steps,
        "eta": options.eta or 0.0,
        "guidance_scale": 1.0 if guidance.guidance_scale is None else guidance.guidance_scale,
        "guidance_interval": guidance.guidance_interval,
    }
    return c.config.sampling_refusal(c.config.sampling.model_copy(update=asked)) or ("", "")


# --- what is told


def _second_network(c: Choice) -> str:
    return "weak network for autoguidance" if _auto(c) else str(c.request.guidance)


def _taken_by(option: OptionName, c: Choice) -> str:
    taking = samplers_with(option)
    kind = "sampler" if len(taking) == 1 else "samplers"
    return f"applies to the {kind} {', '.join(taking)} only; the sampler is {_sampler(c).name}"


def _who_follows_hints(c: Choice) -> str:
    """Which hints the dataset's models follow instead; of a pinned model, which models follow this one."""
    assert c.request.control is not None
    kind, dataset = c.request.control.kind, c.catalog.datasets[c.request.dataset]
    following = [served.name for served in dataset if kind in served.controls]
    if _pinned(c) and following:
        return f"{c.name} does not follow {kind}; {', '.join(following)} does"
    by = f", guided by {c.request.guidance}," if c.request.guidance in GRADIENT_GUIDANCE.values() else ""
    return f"nothing{by} follows {kind} in {c.request.dataset}: {_kinds_of_hints(dataset)}"


def _kinds_of_hints(dataset: list[Served]) -> str:
    kinds = {kind for served in dataset for kind in served.controls if kind in CONTROL_KINDS}
    return f"there are hints of {', '.join(sorted(kinds))}" if kinds else "no model of it follows hints"


def _who_understands_prompts(c: Choice) -> str:
    datasets = [name for name in c.catalog.datasets if models_with_prompts(c.catalog, name)]
    return f"prompts are for {', '.join(datasets)}" if datasets else "no model here does"


def _axes_to_choose(c: Choice) -> str:
    columns = c.config.data.columns
    return f"two of {listed(columns)}, or their numbers 0 … {len(columns) - 1}"


def _given(choice: Choice, field: str) -> object:
    """What the request has there; None where repeating it would say nothing."""
    if field == "n":
        return choice.n
    value: object = choice.request
    if field.startswith("given.") and choice.request.given is not None:
        return choice.request.given[field.removeprefix("given.")]
    for name in field.split("."):
        value = getattr(value, name)
    return None if isinstance(value, BaseModel) else value


def _few_step_rule(field: str) -> Rule:
    return Rule(
        field,
        lambda c: _refused_by_few_step(c)[0] == field,
        lambda c: f"for {c.name} {_refused_by_few_step(c)[1]}",
    )


RULES: tuple[Rule, ...] = (
    # How many
    Rule("label", lambda c: c.request.label == [], "an empty list; give one label for each sample, or none at all"),
    Rule(
        "n",
        lambda c: None not in (_labels_given(c), c.request.n) and c.request.n != _labels_given(c),
        lambda c: f"{c.n} samples but {_labels_given(c)} labels; leave n away, or give one label for all",
    ),
    Rule("n", lambda c: not 1 <= c.n <= _max_n(c), lambda c: f"1 … {_max_n(c):,} {c.config.data.kind}"),
    # Guidance by a gradient, and hints, that no model has
    Rule(
        "guidance",
        lambda c: c.lacks_guidance and not _pinned(c),
        lambda c: (
            f"one of {', '.join(guidances(c.catalog, c.request.dataset))}: "
            f"{c.request.dataset} has no {_second_network(c)}"
        ),
    ),
    Rule(
        "guidance",
        lambda c: _auto(c) and _hinted(c),
        "auto does not go with a hint: the weak network that it needs follows none",
    ),
    Rule(
        "guidance",
        lambda c: _auto(c) and _prompted(c),
        "auto does not go with a prompt: the weak network that it needs reads none",
    ),
    Rule("control.kind", _lacks_hint, _who_follows_hints),
    Rule(
        "control",
        lambda c: _hinted(c) and _prompted(c) and c.served.text is None and not _pinned(c),
        "goes with a label here: no model that understands prompts follows hints",
    ),
    # Prompts and labels, and the guidance that goes with them
    Rule(
        "prompt",
        lambda c: _prompted(c) and c.served.text is None,
        lambda c: f"{c.name} understands no words; {_who_understands_prompts(c)}",
    ),
    Rule(
        "label",
        lambda c: _labelled(c) and c.config.conditioning == "text",
        lambda c: f"{c.name} reads a prompt, not a label",
    ),
    Rule("guidance", lambda c: c.lacks_guidance, lambda c: f"{c.name} has no {_second_network(c)} that fits it"),
    Rule("guidance", lambda c: c.request.guidance == "clip" and not _prompted(c), "clip needs a prompt to guide to"),
    Rule(
        "guidance",
        lambda c: c.request.guidance == "classifier" and _prompted(c),
        "classifier needs a label; a prompt is guided by classifier-free or clip",
    ),
    Rule(
        "guidance",
        lambda c: c.request.guidance == "classifier" and not _labelled(c),
        "classifier needs a label to guide to",
    ),
    Rule(
        "guidance",
        lambda c: c.request.guidance == "classifier-free" and not _guidable(c),
        "classifier-free needs a label, a prompt or a hint to guide to",
    ),
    Rule(
        "guidance",
        lambda c: c.request.guidance not in (None, c.guidance) and c.conditioning is not None,
        lambda c: f"{c.name} is unconditional: only {c.guidance} guides it",
    ),
    Rule(
        "guidance_scale",
        lambda c: c.request.guidance_scale is not None and not _guidable(c),
        "applies where there is a label, a prompt or a hint to guide to",
    ),
    Rule(
        "guidance_scale",
        lambda c: c.request.guidance_scale is not None and c.guidance == "none",
        "does not go with guidance none; leave one of them away",
    ),
    Rule(
        "guidance_interval",
        lambda c: c.request.guidance_interval is not None and not _guidable(c),
        "applies where there is a label, a prompt or a hint to guide to",
    ),
    Rule(
        "guidance_interval",
        lambda c: c.request.guidance_interval is not None and c.guidance != "classifier-free",
        lambda c: f"applies to classifier-free guidance only; the guidance is {c.guidance}",
    ),
    Rule(
        "label",
        lambda c: _labelled(c) and c.guidance != "classifier" and not c.config.data.labels,
        lambda c: f"{c.name} is unconditional: it has no labels" + ", as auto needs" * (c.guidance == "auto"),
    ),
    Rule(
        "label",
        lambda c: c.config.needs_label and not _labelled(c) and not c.draws_labels,
        lambda c: f"{c.name} was trained with labels only: one of {listed(c.config.data.labels)}",
    ),
    Rule(
        "guidance_scale",
        _unguidable,
        lambda c: f"for {c.name} 1: it was trained with labels only, so there is nothing to guide away from",
    ),
    # Sampling options
    Rule(
        "steps",
        lambda c: not 1 <= sampling_options(c).steps <= _T(c),
        lambda c: f"1 … {_T(c)} for {c.name}",
    ),
    *(_few_step_rule(field) for field in ("guidance_scale", "guidance_interval", "sampler", "eta", "steps")),
    Rule(
        "eta",
        lambda c: c.request.eta is not None and not _sampler(c).takes("eta"),
        lambda c: _taken_by("eta", c),
    ),
    Rule(
        "variance",
        lambda c: c.request.variance is not None and not _sampler(c).takes("variance"),
        lambda c: _taken_by("variance", c),
    ),
    Rule(
        "variance",
        lambda c: sampling_options(c).variance == "learned" and not c.config.prediction.learned_variance,
        lambda c: f"{c.name} has learned none: fixed-small or fixed-large",
    ),
    *EDIT_RULES,
    # Pictures
    Rule("zoom", lambda c: c.request.zoom is not None and c.config.data.kind != "images", "applies to images only"),
    Rule(
        "zoom",
        lambda c: c.request.zoom is not None and c.request.zoom > largest_zoom(c.config.data, c.n),
        lambda c: (
            f"at most {largest_zoom(c.config.data, c.n)} here: "
            f"a sheet of {c.n} would have more than {MAX_PICTURE} pixels a side"
        ),
    ),
    Rule("axes", lambda c: c.request.axes is not None and c.config.data.kind != "points", "applies to points only"),
    Rule(
        "axes",
        lambda c: c.request.axes is not None and len(c.config.data.columns) == 1,
        lambda c: f"{c.request.dataset} has one dimension: leave axes away",
    ),
    Rule("axes", lambda c: axes_of(c.request.axes, c.config.data) is None, _axes_to_choose),
)
