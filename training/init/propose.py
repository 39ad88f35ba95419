"""Propose recipes for own data: sizes, objectives and sampling that suit their amount and the device."""

import torch

from training.init.architecture import denoiser_network, encoder_network, weak_network
from training.init.choices import Choice, Choices, Draft, Section
from training.init.few_steps import few_step_control_recipe, few_step_recipe
from training.init.optimisation import optimisation_for
from training.init.roles import CONTROLNETS, DENOISERS, FEW, STUDENTS, DataSummary, Role, check_role
from training.init.survey import ImageSurvey

SIZES = (8, 16, 28, 32, 48, 64)  # pixels a side
LARGEST = {"cpu": 32, "cuda": 64}  # size that is proposed
COMMON = 0.95  # share of the images: if so many have one small shape, that is the size
FLAT = 40.0  # standard deviation in 0 … 255: images with less are standardised by channel


def choose_size(survey: ImageSurvey, device: torch.device) -> Choice:
    """(height, width): the images' own if most share a small one, else a square of about their size."""
    (shape, count), *_ = survey.shapes.most_common(1)
    largest = LARGEST.get(device.type, LARGEST["cpu"])
    if count >= COMMON * len(survey.headers) and max(shape) <= 1.5 * largest and not any(side % 4 for side in shape):
        return Choice(list(shape), "their own")
    sides = sorted(min(shape) for shape in survey.shapes.elements())
    median = sides[len(sides) // 2]
    side = max((size for size in SIZES if size <= min(median, largest)), default=SIZES[0])
    return Choice([side, side], f"shorter sides are {median} pixels in the median; a larger size trains slower")


def standardisation(std: tuple[float, ...]) -> Choice:
    """The network's range, by the channels' standard deviations in 0 … 255."""
    if max(std) < FLAT:
        return Choice("channels", f"to variance 1: these images are flat, of a deviation of {max(std):.0f} in 0 … 255")
    return Choice("range", "0 … 255 as −1 … 1")


def recipe_for(role: Role, name: str, data: Choices, summary: DataSummary, base: str) -> Draft:
    """A recipe of that role.

    data  the section [data]
    base  the name of the base denoiser of a ControlNet or a weak network, of the denoiser whose features are clustered,
          and of the data of CLIP

    Raises UnsupportedRole if the data lack what the role needs.
    """
    check_role(role, summary)
    head: Choices = {} if role in DENOISERS else {"role": Choice(_role_of_recipe(role))}
    head |= {"name": Choice(name), "description": Choice(_description(role, summary)), "seed": Choice(0)}
    if role in CONTROLNETS:
        return _controlnet(role, head, summary, base)
    if role in STUDENTS and summary.teacher is not None:
        if role == Role.FAST:
            return few_step_recipe(head, summary, summary.teacher)
        return few_step_control_recipe(head, summary, summary.teacher, role)
    if role == Role.AUTOGUIDANCE:
        return _autoguidance(head, summary, base)
    if role == Role.JUDGE:
        return _judge(head, data, summary)
    if role in (Role.CLASSIFIER, Role.CLIP):
        return _guidance_model(role, head, data, summary)
    return _denoiser(role, head, data, summary, base)


def _role_of_recipe(role: Role) -> str:
    if role in STUDENTS:
        return "flow-map" if role == Role.FAST else "control-flow-map"
    return role.split("-")[0]


def _controlnet(role: Role, head: Choices, summary: DataSummary, base: str) -> Draft:
    return Draft(
        head
        | {
            "base": Choice(base, "the base denoiser, with the same data, network and schedule; train it first"),
            "hint": Choice(role.removeprefix("control-")),
            "label_drop": Choice(0.5, "half of the rows have no label, so that hints alone work too"),
            "control_scale": Choice(1.0),
        },
        {
            "optimisation": optimisation_for(summary, share=0.5, rate=1e-3, decay=0.01),
            "sampling": Section(
                {"guidance_scale": Choice(1.0, "for hints without a label; measure, and set the best")}
            ),
        },
    )


def _autoguidance(head: Choices, summary: DataSummary, base: str) -> Draft:
    return Draft(
        head | {"base": Choice(base, "the denoiser that it guides, with the same data and schedule; train it first")},
        {
            "network": weak_network(summary),
            "optimisation": optimisation_for(
                summary, share=1 / 16, rate=5e-4 if summary.images and summary.rows >= FEW else 1e-3, decay=0.01
            ),
            "sampling": Section(
                {"guidance_scale": Choice(2.0, "1 is the base alone; measure along the scale, and set the best")}
            ),
        },
    )


def _judge(head: Choices, data: Choices, summary: DataSummary) -> Draft:
    few = summary.rows < 3 * FEW
    return Draft(
        head
        | {
            "width": Choice(
                16 if few else 24, "channels of the first level; the next have twice and four times as many"
            ),
            "features": Choice(64 if few else 128, "width of the layer for Fréchet distances"),
        },
        {
            "data": Section(data),
            "optimisation": optimisation_for(summary, share=0.5, rate=2e-3, decay=0.02),
        },
    )


def _guidance_model(role: Role, head: Choices, data: Choices, summary: DataSummary) -> Draft:
    scale = Choice(2.0 if summary.images else 1.0, "of the gradient; measure with --guidance-model, and set the best")
    text = {"outputs": Choice(64), "width": Choice(64), "layers": Choice(2), "heads": Choice(4)}
    return Draft(
        head,
        {"data": Section(data), "network": encoder_network(summary)}
        | ({"text": Section(text)} if role == Role.CLIP else {})
        | {
            "schedule": _schedule(summary),
            "optimisation": optimisation_for(summary, share=0.5, rate=1e-3, decay=0.05),
            "sampling": Section({"guidance_scale": scale}),
        },
    )


def _denoiser(role: Role, head: Choices, data: Choices, summary: DataSummary, base: str) -> Draft:
    images, labelled = summary.images, role != Role.UNCONDITIONAL
    learned = not labelled
    target = "v" if summary.taken_from is None else summary.taken_from.prediction.target
    prediction: Choices = {"target": Choice(target)}
    objective: Choices = {
        "weighting": Choice(
            "simple", "min-snr gives little weight to the noise levels that decide shapes" if images else ""
        )
    }
    if learned:
        prediction["learned_variance"] = Choice(True, "for few steps of the sampler ddpm, and for likelihoods (ND21)")
        objective = {
            "loss": Choice("hybrid", "trains the variance as well as the mean"),
            "vlb_weight": Choice(0.001),
            "conditional": Choice(False, "the network gets no labels"),
        }
    else:
        without = "label or prompt, for classifier-free guidance"
        if role == Role.CLUSTERED:
            without = "cluster, for samples that begin from data"
        objective["label_drop"] = Choice(0.1, f"share of rows without their {without}")
    sampling: Choices = {"sampler": Choice("dpmpp-2m"), "steps": Choice(20 if images else 25)}
    if learned:
        sampling["variance"] = Choice("learned", "for requests with the sampler ddpm")
    if labelled and role != Role.CLUSTERED:  # a drawn cluster is not guided
        scale = 1.5 if images else 1.0
        sampling["guidance_scale"] = Choice(
            scale, "1 is plain conditional sampling; more follows the condition better, with less variety"
        )
    if summary.clusters is not None and role == Role.CLUSTERED:
        head = head | {"clusters": Choice(summary.clusters, "by k-means; each sample draws its own, and none is shown")}
        if images:
            head = head | {"features_from": Choice(base, "its activations are clustered; train it first")}
    if role == Role.TEXT:
        head = head | {"text_from": Choice(f"{base}-clip", "its text encoder reads the prompts; train it first")}
    return Draft(
        head,
        {
            "data": Section(data),
            "network": denoiser_network(summary),
            "schedule": _schedule(summary),
            "prediction": Section(prediction),
            "objective": Section(objective),
            "optimisation": optimisation_for(
                summary, rate=5e-4 if images and summary.rows >= FEW else 1e-3, decay=0.01
            ),
            "sampling": Section(sampling),
        },
    )


def _description(role: Role, summary: DataSummary) -> str:
    dataset, labels = summary.data.dataset, summary.data.labels
    by_class = f"{len(labels)} classes" if labels else "images" if summary.images else "points"
    return {
        Role.CONDITIONAL: f"{dataset} by class ({by_class}), with classifier-free guidance",
        Role.UNCONDITIONAL: f"{dataset}, unconditional, with a learned variance",
        Role.CLUSTERED: f"{dataset}, unconditional, each sample of one of {summary.clusters} drawn clusters",
        Role.CLASSIFIER: f"Classifies noisy {dataset}, for classifier guidance",
        Role.JUDGE: f"Classifies {dataset}, to measure samples",
        Role.CONTROL_CANNY: f"{dataset} that follow the edges of a picture",
        Role.CONTROL_SKETCH: f"{dataset} that follow a drawing",
        Role.CONTROL_INPAINTING: f"{dataset} of which a part is known",
        Role.CLIP: f"Words and noisy {dataset} in one space, for CLIP guidance",
        Role.TEXT: f"{dataset} by prompt, with classifier-free guidance",
        Role.FAST: f"{dataset} in one, two or four network evaluations",
        Role.FAST_CONTROL_CANNY: f"{dataset} that follow the edges of a picture in one, two or four evaluations",
        Role.FAST_CONTROL_SKETCH: f"{dataset} that follow a drawing in one, two or four evaluations",
        Role.AUTOGUIDANCE: f"A weak network of {dataset}, for autoguidance",
    }[role]


def _schedule(summary: DataSummary) -> Section:
    if summary.taken_from is not None:
        schedule = summary.taken_from.schedule.model_dump()
        return Section({key: Choice(value) for key, value in schedule.items()}, f"{summary.taken_from.name}'s")
    return Section({"name": Choice("cosine"), "T": Choice(1000)})
