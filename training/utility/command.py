"""`utility`: would generated data help a classifier?"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model.checkpoints.config import CONFIG
from model.checkpoints.denoiser import load_checkpoint
from training.cli_options import CHECKPOINTS, Checkpoints, Recipes
from training.data import training_set
from training.data.data_section import BUILT_IN, PLACES, DataSection, section_of
from training.data.training_set import DataError, TrainingSet, unchanged
from training.disk import need_writable
from training.lock import held_alone
from training.recipe import OWN_RECIPES, RecipeError, load_recipe
from training.tasks.registry import find_checkpoint
from training.utility.arms import ARMS
from training.utility.augmentation import classical_augmentation
from training.utility.estimate import estimated_seconds
from training.utility.experiment import Experiment, Grid
from training.utility.generator import Closed, Generator, Semi, Shipped
from training.utility.generator_training import USUAL_OPTIONS
from training.utility.pool import pool_of
from training.utility.report import UtilityReport
from training.utility.results import Cell, Results

USUAL = Grid(USUAL_OPTIONS["images"])
REPORTS = Path("reports/utility")  # in the working directory
WITHOUT_EFFECT = {*PLACES, "source", "licence"}  # fields of own data of which results are independent


def _text(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _of_kinds(field: str) -> str:
    """The usual value of an option of generators, for each kind of data."""
    return ", ".join(f"{getattr(options, field):,} for {kind}" for kind, options in USUAL_OPTIONS.items())


def utility(
    name: Annotated[
        str, typer.Argument(help="A recipe of yours whose data are asked about, or mnist, gaussian or spiral.")
    ],
    rows: Annotated[str, typer.Option(help="Labelled rows of each class, by commas.", metavar="N,N,…")] = _text(
        USUAL.rows
    ),
    ratio: Annotated[str, typer.Option(help="Generated rows for each of them, by commas.", metavar="R,R,…")] = _text(
        USUAL.ratios
    ),
    choices: Annotated[
        int, typer.Option(min=2, help="How often other rows are chosen to be labelled.")
    ] = USUAL.choices,
    generator: Annotated[
        list[str] | None,
        typer.Option(
            help="closed (sees the labelled rows alone), semi (sees all rows, and reads their labels itself), or a "
            "checkpoint. May come several times. Default: closed and semi.",
            metavar="NAME",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=0.99, help="Draw samples again that are read as asked with less probability.")
    ] = USUAL.confidence,
    classifier_steps: Annotated[int, typer.Option(min=1, help="Steps of each classifier.")] = USUAL.classifier.steps,
    generator_steps: Annotated[
        int | None,
        typer.Option(
            min=2, help=f"Steps of each generator, on labelled rows. Default: {_of_kinds('steps')}.", show_default=False
        ),
    ] = None,
    pretraining_steps: Annotated[
        int | None,
        typer.Option(
            min=2,
            help=f"Steps of a semi generator before, without labels. Default: {_of_kinds('pretraining_steps')}.",
            show_default=False,
        ),
    ] = None,
    recipes: Recipes = OWN_RECIPES,
    checkpoints: Checkpoints = CHECKPOINTS,
    reports: Annotated[Path, typer.Option(help="Folder of the page and its measurements.")] = REPORTS,
) -> None:
    """Train a classifier with and without generated data, test it on real data, and say whether they help.

    After an interruption, the same command continues."""
    need_writable(reports, "give another folder by --reports")
    counts = _numbers(rows, "--rows", USUAL.rows), _numbers(ratio, "--ratio", USUAL.ratios)
    title, section = _asked(name, recipes)
    data = training_set(section)
    pool = pool_of(data)
    usual = USUAL_OPTIONS[data.config.kind]
    steps = generator_steps or usual.steps
    options = replace(usual, steps=steps, pretraining_steps=pretraining_steps or usual.pretraining_steps)
    grid = Grid(options, *counts, choices, confidence, replace(USUAL.classifier, steps=classifier_steps))
    names = list(dict.fromkeys(generator or ("closed", "semi")))
    named = [_generator(one, grid, data, checkpoints) for one in names]
    generators = list({one.key: one for one in named}.values())  # one that is named twice is no second setting
    augment = classical_augmentation(data.config, unchanged if data.real is None else data.real.augment)
    identity = grid.identity(pool) | {"section": section.model_dump(mode="json", exclude=WITHOUT_EFFECT)}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    kept = reports / f"{title}-{digest}.json"  # other options have results of their own
    with held_alone(kept.with_name(f".{kept.stem}.lock"), kept, "measures for it", "take another folder by --reports"):
        results = Results(kept, identity)
        experiment = Experiment(grid, pool, generators, augment, results)
        if missing := experiment.missing:
            seconds = estimated_seconds(missing, grid, pool, generators, augment)
            begins = any(isinstance(one, Semi) and not one.is_pretrained(pool) for one in generators)
            first = "; first, a generator without labels" if begins else ""
            _run(experiment, results, title, len(missing), seconds, first)
        words = _words(name, names, recipes, checkpoints, reports)
        report = UtilityReport(grid, pool, generators, results, words)
        page = report.write(reports, title)
    typer.echo(f"{report.answer()}\n{page}")


def _run(experiment: Experiment, results: Results, title: str, missing: int, seconds: float, first: str) -> None:
    """Measure what is missing, and tell how it goes."""
    console = Console()
    console.print(f"{missing:,} classifiers to train; about {max(1, round(seconds / 60)):,} min{first}")
    with _progress(console) as progress:
        task = progress.add_task(title, total=missing)

        def done(cell: Cell) -> None:
            progress.advance(task)
            if not console.is_terminal:
                accuracy = results.cells[cell].balanced_accuracy
                console.print(
                    f"{cell.rows} labels, choice {cell.choice}, {ARMS[cell.arm].title}"
                    f"{f', {cell.generator} × {cell.ratio}' if cell.generator else ''}: {accuracy:.1%}"
                )

        experiment.run(done)


def _words(name: str, generators: Sequence[str], recipes: Path, checkpoints: Path, reports: Path) -> list[str]:
    """The words of the command that say what is asked about; folders where they are not the defaults."""
    given = [("--generator", one) for one in generators]
    folders = [
        ("--recipes", recipes, OWN_RECIPES),
        ("--checkpoints", checkpoints, CHECKPOINTS),
        ("--reports", reports, REPORTS),
    ]
    given += [(option, str(folder)) for option, folder, usual in folders if folder != usual]
    return [name, *(word for pair in given for word in pair)]


def _asked(name: str, recipes: Path) -> tuple[str, DataSection]:
    """(what to call the page, the data)"""
    if name in BUILT_IN:
        return name, section_of({"dataset": name})
    recipe = load_recipe(name, recipes)
    section: DataSection | None = getattr(recipe, "data", None)
    if section is None:
        raise RecipeError(f"{name} has no data of its own: name the recipe of its base")
    return recipe.name, section


def _generator(name: str, grid: Grid, data: TrainingSet, checkpoints: Path) -> Generator:
    if name == "closed":
        return Closed(grid.generator)
    if name == "semi":
        return Semi(grid.generator)
    folder = find_checkpoint(name, checkpoints)
    if not (folder / CONFIG).is_file():
        raise RecipeError(f"--generator {name}: give closed, semi, or a checkpoint; there is none in {folder}")
    checkpoint = load_checkpoint(folder)
    theirs, ours = checkpoint.config.data, data.config
    if (theirs.shape, theirs.labels) != (ours.shape, ours.labels):
        raise DataError(
            f"--generator {name}: it makes {list(theirs.shape)} of {len(theirs.labels)} classes, and {ours.dataset} "
            f"has {list(ours.shape)} of {len(ours.labels)}, by these names: {', '.join(ours.labels)}"
        )
    shipped = Shipped(checkpoint, data)
    if shipped.doubt:
        typer.echo(shipped.doubt)
    return shipped


def _numbers(text: str, option: str, usual: Sequence[int]) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise typer.BadParameter(f"{option} {text!r}: whole numbers from 1 on, by commas, for example {_text(usual)}")
    return numbers


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
