"""The models that are served, by name, by dataset and by key."""

from collections.abc import Iterable, Mapping

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from service.engine.served_model import Served


class Catalog:
    """served    by name
    datasets  by the name of their data, in the order in which they were given
    by_key    by the key that the engine runs them under, a hash of their weights
    """

    def __init__(
        self,
        checkpoints: Iterable[DenoiserCheckpoint],
        guidance_models: Iterable[GuidanceModel] = (),
        controls: Iterable[ControlCheckpoint] = (),
        weak_networks: Iterable[AutoguidanceCheckpoint] = (),
    ):
        """A model gets the first guidance model that fits it, for labels and for text, the first ControlNet that
        fits it for each kind of hint, and the first weak network."""
        guidance_models, controls, weak_networks = list(guidance_models), list(controls), list(weak_networks)
        self.served: Mapping[str, Served] = {
            checkpoint.config.name: Served(
                checkpoint,
                {
                    guidance_model.conditioning: guidance_model
                    for guidance_model in reversed(guidance_models)
                    if guidance_model.fits(checkpoint.config)
                },
                {control.hint: control for control in reversed(controls) if control.fits(checkpoint)},
                next((weak for weak in weak_networks if weak.fits(checkpoint)), None),
            )
            for checkpoint in checkpoints
        }
        self.datasets: dict[str, list[Served]] = {}
        for served in self.served.values():
            self.datasets.setdefault(served.checkpoint.config.data.dataset, []).append(served)
        self.by_key: Mapping[str, Served] = {served.key: served for served in self.served.values()}
