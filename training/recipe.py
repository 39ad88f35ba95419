"""A recipe: one readable TOML with everything that makes a checkpoint."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from model.checkpoints.config import NAME_PATTERN, SamplingConfig, SamplingOverrides, check_steps
from model.checkpoints.denoiser import PredictionConfig
from model.checkpoints.schedule_config import ScheduleConfig
from model.conditions import HintKind
from model.networks import AnyEncoderConfig, AnyNetworkConfig
from model.renamed import explained
from model.sampler_spec import Variance
from model.strict_config import StrictConfig
from training.data.data_section import DataSection
from training.flow_map_section import FlowMapSection

RECIPES = Path(__file__).parent / "recipes"
ADVISORY_FIELDS = {"sampling", "control_scale", "default_for_prompts"}  # the report may change these
OWN_RECIPES = Path("recipes")  # in the working directory: where `init` writes


class RecipeError(Exception):
    """A recipe that cannot be trained; the message says what to change."""


class ObjectiveSection(StrictConfig):
    """The denoising loss; see `training.tasks.objectives`."""

    loss: Literal["regression", "hybrid", "vlb"] = "regression"  # the last two teach a variance
    weighting: Literal["simple", "vlb", "min-snr"] = "simple"  # of the regression, over t
    variance: Variance = "fixed-small"  # Σ of the "vlb" weighting
    vlb_weight: float = Field(0.001, gt=0)  # λ of the hybrid loss (ND21 eq. 16), on the sum over all T terms
    timesteps: Literal["uniform", "importance"] = "uniform"  # how t is drawn; importance is for the loss "vlb"
    timestep_shift: float = Field(1.0, ge=0.1, le=10)  # above 1 draws noisy t more often: see `draw_timesteps`
    label_drop: float = Field(0.1, ge=0, le=1)  # probability, per sample (HS22 section 3.2)
    stable_targets: bool = False  # x0 that many rows agree on, not one: see `training.tasks.stable_targets`
    wide_noise: float = Field(1.0, ge=1, le=10)  # some rows have up to so many times the noise of their t
    conditional: bool = True  # False: labels are not shown to the network


class OptimisationSection(StrictConfig):
    steps: int = Field(ge=1)
    batch_size: int = Field(128, ge=1)  # per process
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: of matrices; the other weights have AdamW
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(500, ge=0)
    final_learning_rate: float = Field(0.0, ge=0)  # of the cosine decay, as a fraction of learning_rate
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.999, gt=0, lt=1)  # of AdamW's running average of squared gradients
    gradient_clip: float = Field(1.0, gt=0)  # norm
    ema_decay: float = Field(0.999, ge=0, lt=1)  # reached after a warm-up of about 10/(1 − ema_decay) steps
    mixed_precision: Literal["no", "bf16"] = "no"  # bf16: where the device multiplies in it, else no
    save_every: int = Field(1000, ge=1)  # steps between resumable states
    sample_every: int = Field(1000, ge=1)  # steps between sample pictures

    @model_validator(mode="after")
    def _warms_up(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} is not less than steps = {self.steps}: training would be over "
                f"before it has warmed up; set warmup_steps = {self.steps // 5}, or more steps"
            )
        return self


class RecipeBase(StrictConfig):
    """The fields of every recipe."""

    role: str
    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    optimisation: OptimisationSection


class DiffusionRecipe(RecipeBase):
    """The recipe of a network that is trained on noisy rows of a data set."""

    data: DataSection
    schedule: ScheduleConfig = ScheduleConfig()
    sampling: SamplingConfig | SamplingOverrides

    @model_validator(mode="after")
    def _steps_are_possible(self) -> Self:
        check_steps(self.sampling, self.schedule.T)
        return self


class DenoiserRecipe(DiffusionRecipe):
    role: Literal["denoiser"] = "denoiser"
    network: AnyNetworkConfig
    prediction: PredictionConfig = PredictionConfig()
    objective: ObjectiveSection = ObjectiveSection()
    sampling: SamplingConfig = SamplingConfig()
    text_from: str | None = None  # a CLIP checkpoint: the network reads its text vectors instead of labels
    clusters: int | None = Field(None, ge=2, le=1000)  # of rows without labels: the network reads these as labels
    features_from: str | None = None  # a denoiser of such images, by whose activations they are clustered

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.prediction.learned_variance != (self.objective.loss != "regression"):
            raise ValueError(
                f"prediction.learned_variance is {str(self.prediction.learned_variance).lower()}, but objective.loss "
                f"is {self.objective.loss!r}: a learned variance goes with the losses hybrid and vlb, and they with it"
            )
        if self.objective.wide_noise > 1 and not self.objective.stable_targets:
            raise ValueError("objective.wide_noise goes with stable_targets: a row's x0 is no target of wider noise")
        if self.objective.stable_targets and self.text_from is not None:
            raise ValueError("objective.stable_targets is for networks with labels or without, not for those with text")
        if self.objective.wide_noise > 1 and self.network.kind != "mlp":
            raise ValueError("objective.wide_noise is for points")
        if self.objective.timesteps == "importance" and self.objective.loss != "vlb":
            raise ValueError("objective.timesteps = 'importance' is measured on L_vlb alone: use it with loss = 'vlb'")
        if self.objective.timesteps == "importance" and self.objective.timestep_shift != 1:
            raise ValueError("objective.timesteps = 'importance' draws t by itself: leave timestep_shift out")
        if self.sampling.variance == "learned" and not self.prediction.learned_variance:
            raise ValueError("sampling.variance is 'learned', but prediction.learned_variance is false")
        if self.text_from is not None and not self.objective.conditional:
            raise ValueError("text_from is for a conditional network, but objective.conditional is false")
        if self.clusters is not None and (self.text_from is not None or not self.objective.conditional):
            raise ValueError("clusters are for a network that reads no text, and objective.conditional must be true")
        if self.features_from is not None and self.clusters is None:
            raise ValueError("features_from is for clusters: say how many, clusters = 20")
        if self.objective.variance == "learned":
            raise ValueError("objective.variance is the Σ of a fixed-variance loss: use fixed-small or fixed-large")
        return self


class DistortionSection(StrictConfig):
    """How a judge's training images are moved, so that small differences of drawing do not matter; 0 is off."""

    shift: float = Field(0.07, ge=0, le=0.5)  # at most, as a share of the side
    rotation: float = Field(12.0, ge=0, le=180)  # degrees
    scale: float = Field(0.1, ge=0, le=0.5)  # larger or smaller by such a share
    shear: float = Field(0.1, ge=0, le=0.5)


class JudgeRecipe(RecipeBase):
    """A classifier of clean images, for measuring only."""

    role: Literal["judge"]
    data: DataSection
    width: int = Field(32, ge=8, multiple_of=8)
    features: int = Field(128, ge=8)
    distortion: DistortionSection = DistortionSection()


class GuidanceRecipe(DiffusionRecipe):
    """A network whose gradient guides a denoiser of the same schedule. `sampling` overrides the denoiser's own."""

    network: AnyEncoderConfig
    sampling: SamplingOverrides = SamplingOverrides()


class ClassifierRecipe(GuidanceRecipe):
    """A classifier of noisy rows."""

    role: Literal["classifier"]


class TextSection(StrictConfig):
    """A text encoder; see `model.text_encoder.TextConfig`."""

    outputs: int = Field(64, ge=2)
    width: int = Field(64, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)


class ClipRecipe(GuidanceRecipe):
    """Words and noisy images in one space. `network` is the image tower; denoisers may read the text encoder."""

    role: Literal["clip"]
    text: TextSection = TextSection()
    default_for_prompts: bool = False  # guide prompts by default, although a denoiser is conditioned on text


class ControlNetRecipe(RecipeBase):
    """A ControlNet beside a denoiser, whose data, network and schedule it takes over."""

    base: str  # the denoiser's checkpoint, which must be there when this is trained
    control_scale: float = Field(1.0, ge=0, le=2)  # how strongly the hint counts by default
    sampling: SamplingOverrides = SamplingOverrides()  # for a hint with neither label nor prompt


class ControlRecipe(ControlNetRecipe):
    """A ControlNet that learns from hinted images, by its base's own loss."""

    role: Literal["control"]
    hint: HintKind
    weighting: Literal["simple", "vlb", "min-snr"] = "simple"  # of the loss over t
    label_drop: float = Field(0.5, ge=0, le=1)  # as often as not: the hint alone must say enough (ZRA23 section 3.4)


class AutoguidanceRecipe(RecipeBase):
    """The weak network of autoguidance (Karras 2024): of its base's data, schedule, prediction and objective."""

    role: Literal["autoguidance"]
    base: str  # the denoiser's checkpoint, which must be there when this is trained
    network: AnyNetworkConfig
    sampling: SamplingOverrides = SamplingOverrides()  # for samples that it guides


class FlowMapRecipe(RecipeBase):
    """A student that jumps along its teacher's ODE. Data, network and schedule are the teacher's."""

    role: Literal["flow-map"]
    teacher: str  # the denoiser's checkpoint, which must be there when this is trained
    distillation: FlowMapSection
    sampling: SamplingConfig = SamplingConfig(sampler="ddim", steps=2)


class ControlFlowMapRecipe(ControlNetRecipe):
    """A ControlNet beside a few-step student, which learns from runs that follow hints. Their kind is the teacher's."""

    role: Literal["control-flow-map"]
    teacher: str  # a ControlNet beside the student's teacher; both must be there when this is trained
    distillation: FlowMapSection


DistillingRecipe = FlowMapRecipe | ControlFlowMapRecipe
"""Those that learn from stored runs of a teacher."""

Recipe = (
    DenoiserRecipe
    | JudgeRecipe
    | ClassifierRecipe
    | ClipRecipe
    | ControlRecipe
    | AutoguidanceRecipe
    | FlowMapRecipe
    | ControlFlowMapRecipe
)
_BY_ROLE: Mapping[str, type[Recipe]] = {
    get_args(recipe_type.model_fields["role"].annotation)[0]: recipe_type for recipe_type in get_args(Recipe)
}


def load_recipe(name_or_path: str, own: Path = OWN_RECIPES) -> Recipe:
    """The recipe in that file, or the one of that name in the folder `own`, or the shipped one.

    Raises RecipeError with the field and what to change, before anything is trained.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = own / f"{name_or_path}.toml"
        if not path.is_file():
            path = RECIPES / f"{name_or_path}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"no recipe {name_or_path!r} ({error.strerror}); "
            f"there are: {', '.join([*recipe_names(own), *recipe_names()])}, or give a .toml file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    return parse_recipe(document, source=str(path))


def about_recipe(name_or_path: str, own: Path = OWN_RECIPES) -> str:
    """Its description, or why it cannot be trained, in one line."""
    try:
        return load_recipe(name_or_path, own).description
    except RecipeError as error:
        return " ".join(str(error).split())


def parse_recipe(document: dict[str, Any], source: str) -> Recipe:
    role = document.get("role", "denoiser")
    if role not in _BY_ROLE:
        raise RecipeError(f"{source} cannot be trained:\n  role: one of {', '.join(_BY_ROLE)}, not {role!r}")
    recipe_type = _BY_ROLE[role]
    try:
        return recipe_type.model_validate(document)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {explained(e)}" for e in error.errors()]
        raise RecipeError("\n".join([f"{source} cannot be trained:", *lines])) from error


def recipe_names(folder: Path = RECIPES) -> list[str]:
    """The shipped recipes, or those in another folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


KEPT_AT = "kept_at"  # beside the recipe of a checkpoint that a run left on its way: the steps that were done


def trained_by(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a checkpoint keeps it: without the advisory fields, which config.json has by themselves."""
    return recipe.model_dump(mode="json", exclude=ADVISORY_FIELDS)
