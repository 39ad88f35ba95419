"""What a sampler says of itself: how it fills the table of a plan, and what a user has to know to choose it.

Every sampler is the same update with other numbers,

    x_s = A·x_t + B·x̂0 + C·x̂0_before + D·z,        z ~ N(0, I),

and `SamplerSpec.fill` writes these numbers. The samplers themselves are the modules of `model.samplers`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Variance = Literal["fixed-small", "fixed-large", "learned"]
VARIANCES: tuple[Variance, ...] = get_args(Variance)

OptionName = Literal["eta", "variance"]


def variances_of(learned: bool) -> tuple[Variance, ...]:
    """The variances that a model can be sampled with: the fixed ones, and its own if it has learned one."""
    return VARIANCES if learned else ("fixed-small", "fixed-large")


# The columns that `model.step` gathers: A, B, C and D come first. For a learned variance D is formed per element from
# the next three. `x0_gradient` is by how much a guiding gradient moves x̂0; it is 0 where the gradient moves the mean.
# `clipped_off` is the weight of `Prediction.clipped_off`, for samplers that may take the network's own ε̂.
COLUMNS = ("x", "x0", "x0_before", "noise", "log_beta", "log_beta_tilde", "learned", "x0_gradient", "clipped_off")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Columns = Mapping[str, Floats]
"""Name of a column → its values [rows] float64, a view into the table."""


@dataclass(frozen=True, eq=False)
class Strides:
    """The rows of a plan before a sampler fills them. All arrays are [rows].

    t, s         int64    a row evaluates the network at t and arrives at s
    evaluation   int64    which evaluation of its step the row is, from 0. After the first one, t = s
    alpha_bar_t  float64  ᾱ at t
    alpha_bar_s  float64  ᾱ at s; 1 in the last row
    """

    t: Integers
    s: Integers
    evaluation: Integers
    alpha_bar_t: Floats
    alpha_bar_s: Floats

    @property
    def beta(self) -> Floats:
        """β of the stride, 1 − ᾱ_t/ᾱ_s; never β of the full chain."""
        return 1 - self.alpha_bar_t / self.alpha_bar_s

    @property
    def beta_tilde(self) -> Floats:
        """β̃ of the stride (HJA20 eq. 7); 0 in the last row."""
        return (1 - self.alpha_bar_s) / (1 - self.alpha_bar_t) * self.beta

    @property
    def h(self) -> Floats:
        """λ_s − λ_t with λ = log(√ᾱ/√(1−ᾱ)) (Lu22); infinite in the last row."""
        with np.errstate(divide="ignore"):
            lambda_t = np.log(np.sqrt(self.alpha_bar_t)) - np.log(np.sqrt(1 - self.alpha_bar_t))
            lambda_s = np.log(np.sqrt(self.alpha_bar_s)) - np.log(np.sqrt(1 - self.alpha_bar_s))
        h: Floats = lambda_s - lambda_t
        return h


@dataclass(frozen=True)
class OptionValues:
    """A value for every option that there is. A sampler ignores those that its spec does not list.

    Raises ValueError where a value is out of range.
    """

    eta: float = 0.0
    variance: Variance = "fixed-small"

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be 0 … 1, got {self.eta}")
        if self.variance not in VARIANCES:
            raise ValueError(f"unknown variance {self.variance!r}: use one of {', '.join(VARIANCES)}")


@dataclass(frozen=True)
class SamplerOption:
    """An option that a sampler takes.

    default      used where neither the request nor the model's card says otherwise
    explanation  what a user has to know to set it
    bounds       (least, most) of a number, else None
    choices      the values of a choice, else ()
    """

    name: OptionName
    default: float | str
    explanation: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


Fill = Callable[[Columns, Strides, OptionValues], None]
"""Writes a sampler's numbers into columns that are all 0. The plan adds what is alike for all samplers: `x0_gradient`,
and no noise in the last row."""


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    """One sampler.

    name                  as requests, cards and reports say it
    title                 the name that the literature gives it
    explanation           one line for a user who has to choose
    fill                  see `Fill`
    options               those that it takes
    stochastic            it draws noise whatever its options are. False for `ddim`, where η decides
    order                 order of convergence as steps grow: of the path of the ODE, or of the moments where noise is
                          drawn; 0 where it does not converge to the data
    gradient_moves        what a guiding gradient moves: x̂0 (DN21 algorithm 2) or the mean (DN21 algorithm 1)
    evaluations_per_step  network evaluations of each step except the last, which always takes one
    colour                of its line in plots
    reported              whether the quality report measures it. True needs its cells in `reports/`
    """

    name: str
    title: str
    explanation: str
    fill: Fill
    options: tuple[SamplerOption, ...] = ()
    stochastic: bool
    order: int
    gradient_moves: Literal["x0", "mean"] = "x0"
    evaluations_per_step: int = 1
    colour: str
    reported: bool = False

    def takes(self, option: OptionName) -> bool:
        return any(own.name == option for own in self.options)

    def evaluations(self, steps: int) -> int:
        """Network evaluations (NFE) of a plan of so many steps, without guidance: its number of rows."""
        return self.evaluations_per_step * (steps - 1) + 1


def fill_mean(columns: Columns, strides: Strides, tau2: Floats) -> None:
    """A and B of √ᾱ_s x̂0 + √(1−ᾱ_s−τ²) ε̂ with ε̂ = (x_t − √ᾱ_t x̂0)/√(1−ᾱ_t) (SME20 eq. 12). `tau2` is [rows]."""
    alpha_bar_t, alpha_bar_s = strides.alpha_bar_t, strides.alpha_bar_s
    columns["x"][:] = np.sqrt(np.maximum(1 - alpha_bar_s - tau2, 0)) / np.sqrt(1 - alpha_bar_t)
    columns["x0"][:] = np.sqrt(alpha_bar_s) - columns["x"] * np.sqrt(alpha_bar_t)
