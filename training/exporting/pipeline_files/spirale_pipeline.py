"""A pipeline of diffusers that samples as Spirale does: labels, classifier-free guidance, ε̂ of the clipped x̂0."""

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DiffusionPipeline, ImagePipelineOutput, ModelMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

LEARNED = ("learned", "learned_range")  # the variance types of schedulers that read one in the network's output


class SpiralePipeline(DiffusionPipeline):
    """
    steps, guidance_scale  the defaults of a call
    guidance_interval      the noise levels σ = √(1/ᾱ − 1) between which that scale holds; outside of them it is 1
    labels                 names of the classes, in the order of their numbers
    mean, std              the network sees (pixels − mean)/std, of pixels 0 … 255
    """

    model_cpu_offload_seq = "unet"

    def __init__(
        self,
        unet: ModelMixin,
        scheduler: DDIMScheduler | DDPMScheduler,
        steps: int = 50,
        guidance_scale: float = 1.0,
        guidance_interval: list[float] | None = None,
        labels: list[str] = [],  # noqa: B006 (never changed; diffusers knows no tuples here)
        mean: list[float] = [127.5],  # noqa: B006
        std: list[float] = [127.5],  # noqa: B006
    ):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(
            steps=steps,
            guidance_scale=guidance_scale,
            guidance_interval=guidance_interval,
            labels=labels,
            mean=mean,
            std=std,
        )

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        labels: list[str | int] | str | int | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[object]:
        """
        labels          names or numbers of classes, one for all images or one for each; None for no label
        guidance_scale  at every step; None is the model's own, within its interval of noise levels
        eta             of a DDIM scheduler: 0 is deterministic
        latents         the noise to start from, [batch, channels, height, width]; None draws it
        """
        if isinstance(labels, list):
            batch_size = len(labels)
        config, device = self.unet.config, self._execution_device
        shape = (batch_size, config.in_channels, *config.sample_size)
        x = latents
        if x is None:
            x = randn_tensor(shape, generator=generator, device=device, dtype=self.unet.dtype)
        classes = self._classes(labels, batch_size).to(device)
        extra = {"eta": eta, "use_clipped_model_output": True} if isinstance(self.scheduler, DDIMScheduler) else {}
        self.scheduler.set_timesteps(self.config.steps if num_inference_steps is None else num_inference_steps)
        for t in self.progress_bar(self.scheduler.timesteps):
            scale = self._advised_scale(t) if guidance_scale is None else guidance_scale
            output = self._guided(x, t, classes, scale)
            if self.scheduler.config.get("variance_type") not in LEARNED:
                output = output[:, : config.in_channels]  # the scheduler would keep the variance in the sample
            x = self.scheduler.step(output, t, x, generator=generator, **extra).prev_sample
        mean, std = (
            torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.config.mean, self.config.std)
        )
        images = ((x * std + mean) / 255).clamp(0, 1)
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).numpy()
            if output_type == "pil":
                images = self.numpy_to_pil(images)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _advised_scale(self, t: Tensor) -> float:
        """Of a step from this timestep."""
        scale: float = self.config.guidance_scale
        if self.config.guidance_interval is None:
            return scale
        low, high = self.config.guidance_interval
        noise_level = (1 / self.scheduler.alphas_cumprod[t].double() - 1).sqrt()
        return scale if low <= noise_level <= high else 1.0

    def _guided(self, x: Tensor, t: Tensor, classes: Tensor, scale: float) -> Tensor:
        """The network's output. Only the target is guided, and a learned variance is the conditional half's."""
        if scale == 0 or (classes < 0).all():
            output: Tensor = self.unet(x, t).sample
            return output
        output = self.unet(x, t, classes).sample
        if scale != 1:
            channels = x.shape[1]
            unconditional = self.unet(x, t).sample[:, :channels]
            guided = unconditional + scale * (output[:, :channels] - unconditional)
            output = torch.cat([guided, output[:, channels:]], dim=1)
        return output

    def _classes(self, labels: list[str | int] | str | int | None, rows: int) -> Tensor:
        """[rows] int64; −1 is no label. Raises ValueError where there is no such class."""
        names = self.config.labels
        wanted = labels if isinstance(labels, list) else [labels] * rows
        numbers: dict[str | int | None, int] = {None: -1}
        for number, name in enumerate(names):
            numbers |= {number: number, name: number}
        if not all(one in numbers for one in wanted):
            raise ValueError(f"labels: one of {', '.join(names)}" if names else "labels: this model has none")
        return torch.tensor([numbers[one] for one in wanted])
