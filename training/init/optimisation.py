"""Propose the optimisation: its steps and batches by the amount of data, and what depends on them."""

import math
from dataclasses import replace

from training.init.choices import Choice, Choices, Draft, Section
from training.init.roles import DataSummary

PASSES = 500  # over a table


def optimisation_for(summary: DataSummary, *, rate: float, decay: float, share: float = 1.0) -> Section:
    """The section [optimisation].

    rate   the learning rate, for training from fresh weights
    decay  the weight decay
    share  of a denoiser's steps
    """
    if summary.taken_from is not None:
        share, rate = share / 2, rate / 2
    batch = min((256 if summary.on_gpu else 128) if summary.images else 512, _power_of_two(summary.rows))
    # Twice the images, √2 times the steps: a small set gets more passes than a large one. More passes over a table
    # would memorise it.
    enough = (
        max(1500, 2200 * math.sqrt(summary.rows / 2000)) if summary.images else max(300, PASSES * summary.rows / batch)
    )
    steps = _two_digits(min(enough, 40_000) * share)
    precision = Choice("bf16", "where the device has it") if summary.images else Choice("no")
    return Section(
        training_length(steps, batch, summary.rows)
        | {
            "batch_size": Choice(batch),
            "learning_rate": Choice(rate),
            "weight_decay": Choice(decay),
            "mixed_precision": precision,
        }
    )


def with_steps(draft: Draft, steps: int, batch: int, rows: int, what: str = "rows") -> Draft:
    """The same recipe over as many steps as there is time for, with batches of `batch` rows."""
    section = draft.sections["optimisation"]
    shorter = training_length(steps, batch, rows, what, "as many as --minutes allow; ")
    return replace(
        draft, sections=draft.sections | {"optimisation": replace(section, choices=section.choices | shorter)}
    )


def training_length(steps: int, batch: int, rows: int, what: str = "rows", why: str = "") -> Choices:
    """Everything that depends on the number of steps. `rows`, called `what`, are trained on."""
    decay = min(0.999, round(1 - 10 / steps, 4))
    return {
        "steps": Choice(steps, f"{why}{steps * batch / rows:,.0f} passes over the {rows:,} {what}"),
        "warmup_steps": Choice(min(200, steps // 5)),
        "ema_decay": Choice(decay, f"averages about the last {1 / (1 - decay):,.0f} steps"),
        "save_every": Choice(max(1, steps // 10)),
        "sample_every": Choice(max(1, steps // 4)),
    }


def _power_of_two(rows: int) -> int:
    """The largest power of two that is at most `rows`, and at least 8."""
    return max(8, 1 << (rows.bit_length() - 1))


def _two_digits(steps: float) -> int:
    """Rounded to two digits."""
    unit: int = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return round(steps / unit) * unit
