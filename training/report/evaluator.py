"""Measures settings; what all measurements share is made once."""

from pathlib import Path

import torch
from rich.console import Console

from model.checkpoints.base import Precision
from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.judge import JudgeConfig, find_judge
from training.data import DATA_IDENTITY, section_trained_on, trained_on
from training.data.data_section import DataSection
from training.data.training_set import TrainingSet
from training.evaluate.hint_evaluation import evaluate_control, held_out_hints
from training.evaluate.image_evaluation import evaluate_captions, evaluate_images, evaluate_prompts
from training.evaluate.measurement import Metrics
from training.evaluate.point_evaluation import POINT_SEEDS, evaluate_points
from training.evaluate.sampling_run import SamplingRun
from training.generate import Guidance
from training.metrics.image_metrics import FEWEST
from training.metrics.image_reference import ImageReference, image_reference
from training.recipe import RecipeError
from training.report.grid import Setting
from training.report.measurement_store import MeasurementStore
from training.report.pipeline import HintedPipeline, Pipeline
from training.weights_hash import weights_hash

SEED = 0
VERSIONS = {"images": "2", "points": "2"}  # of their metrics: another where what is measured, or how, changes

console = Console(highlight=False)


class Evaluator:
    def __init__(self, checkpoints: Path, reports: Path, device: torch.device, *, compile: bool = False):
        self._checkpoints, self._reports, self._device, self._compile = checkpoints, reports, device, compile
        self._references: dict[tuple[DataSection, str | None, Path], ImageReference] = {}  # by data and judge
        self._point_sets: dict[tuple[DataSection, str | None], TrainingSet] = {}  # by data
        self._stores: dict[str, MeasurementStore] = {}
        self._precisions: dict[str, Precision] = {}  # by denoiser
        self._made: set[tuple[str, Setting]] = set()  # by this evaluator, of which pipeline

    def store(self, pipeline: Pipeline) -> MeasurementStore:
        """The measurements of the pipeline."""
        if pipeline.name not in self._stores:
            path = self._reports / "measurements" / f"{pipeline.name}.json"
            self._stores[pipeline.name] = MeasurementStore(path, self._identity(pipeline))
        return self._stores[pipeline.name]

    def prepare(self, pipeline: Pipeline, settings: list[Setting]) -> None:
        """From now on its weights may not change. Raises RecipeError or DataError where a setting has to be measured
        and cannot be."""
        store = self.store(pipeline)
        if pipeline.asked != "points" and not all(setting in store for setting in settings):
            self._reference(pipeline)

    def check_unchanged(self, pipeline: Pipeline) -> None:
        """Raises RecipeError if weights, or the judge, are others than when its measurements were opened."""
        if self.store(pipeline).identity != self._identity(pipeline):
            raise RecipeError(
                f"{pipeline.name}: its weights or its judge have changed since the report began, so what was measured "
                f"now is not kept: give the same command again"
            )

    def measure(self, pipeline: Pipeline, settings: list[Setting], *, anew: bool = False) -> None:
        """Measure the missing settings, the cheap ones first.

        anew  measure those too that this evaluator did not measure itself
        """
        store = self.store(pipeline)
        if anew:
            store.forget([setting for setting in settings if (pipeline.name, setting) not in self._made])
        missing = sorted(
            (setting for setting in settings if setting not in store),
            key=lambda setting: setting.samples * setting.evaluations,
        )
        for number, setting in enumerate(missing, 1):
            control = f", control {setting.control_scale:g}{' alone' * setting.alone}" if pipeline.control else ""
            console.print(
                f"{pipeline.name} {number}/{len(missing)}: {setting.method}, {setting.steps} steps, "
                f"scale {setting.guidance_scale:g}{control}, {setting.samples:,} samples"
            )
            metrics = self._metrics(pipeline, setting)
            self.check_unchanged(pipeline)
            store.put(setting, metrics)
            self._made.add((pipeline.name, setting))

    def _metrics(self, pipeline: Pipeline, setting: Setting) -> Metrics:
        checkpoint, guidance_model = pipeline.checkpoint, pipeline.guidance_model
        guidance = None if guidance_model is None else Guidance(guidance_model, setting.guidance_scale)
        how = SamplingRun(self._device, SEED, self._precision(pipeline), self._compile, guidance)
        if pipeline.asked == "points":
            data = self._point_set(checkpoint.config)
            found = evaluate_points(checkpoint, data, setting.options, how, samples=setting.samples, seeds=POINT_SEEDS)
            return found[0]
        reference = self._reference(pipeline)
        if isinstance(pipeline, HintedPipeline):
            hints = held_out_hints(pipeline.control.hint, reference.data, setting.samples, SEED)
            scale, alone = setting.control_scale, setting.alone
            return evaluate_control(
                pipeline.control, checkpoint, hints, reference, setting.options, how, scale=scale, alone=alone
            )[0]
        by_text = evaluate_captions if setting.captioned else evaluate_prompts
        evaluate = by_text if pipeline.asked == "prompts" else evaluate_images
        return evaluate(checkpoint, reference, setting.options, how, samples=setting.samples)[0]

    def _point_set(self, config: DenoiserConfig) -> TrainingSet:
        """What it was trained on, read once: a table takes longer to read than points to sample."""
        key = _data_of(config)
        if key not in self._point_sets:
            self._point_sets[key] = trained_on(config)
        return self._point_sets[key]

    def _reference(self, pipeline: Pipeline) -> ImageReference:
        config, judge = pipeline.checkpoint.config, self.judge(pipeline)
        if judge is None:
            raise RecipeError(
                f"{config.name}: there is no judge of {config.data.dataset} in {self._checkpoints}: train one (a "
                f"recipe of the role judge with its [data]), or name other checkpoints to report on"
            )
        key = (*_data_of(config), judge)
        if key not in self._references:
            data = trained_on(config)
            if len(data.held_out) < FEWEST:
                raise RecipeError(
                    f"{config.name}: only {len(data.held_out)} images of {config.data.dataset} are held out, and fewer "
                    f"than {FEWEST} have no distribution to compare with: hold out more, or name other checkpoints"
                )
            self._references[key] = image_reference(judge, data, self._device)
        return self._references[key]

    def judge(self, pipeline: Pipeline) -> Path | None:
        """The folder of the judge of its images, if there is one."""
        return find_judge(self._checkpoints, pipeline.checkpoint.config.data)

    def _identity(self, pipeline: Pipeline) -> dict[str, str]:
        """What its measurements depend on besides their settings."""
        identity = {of.name: weights_hash(self._checkpoints / of.name, of) for of in pipeline.configs}
        identity["seed"] = str(SEED)
        identity["version"] = VERSIONS[pipeline.checkpoint.config.data.kind]
        if DATA_IDENTITY in (recipe := pipeline.checkpoint.config.recipe):
            identity["data"] = recipe[DATA_IDENTITY]
        if pipeline.asked == "points":
            identity["draws"] = str(POINT_SEEDS)
        else:
            judge = self.judge(pipeline)
            identity["judge"] = weights_hash(judge, load_config(judge, JudgeConfig)) if judge else "none"
            identity["computed in"] = self._precision(pipeline)
        return identity

    def _precision(self, pipeline: Pipeline) -> Precision:
        """The fastest precision that the card allows, whatever this machine has: measurements from elsewhere count.

        It stays while this evaluator measures: a card whose advice changes meanwhile allows fewer, and what is measured
        before and after that is compared.
        """
        config = pipeline.checkpoint.config
        return self._precisions.setdefault(config.name, "bfloat16" if "bfloat16" in config.precisions else "float32")


def _data_of(config: DenoiserConfig) -> tuple[DataSection, str | None]:
    """What it was trained on: the section, and the identity of one's own data then."""
    return section_trained_on(config), config.recipe.get(DATA_IDENTITY)
