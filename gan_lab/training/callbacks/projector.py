"""Latents and samples as clouds of points in TensorBoard's projector, where training stops."""

from typing import Any

import torch.nn.functional as F
from pytorch_lightning import Callback, Trainer

from gan_lab import UserError
from gan_lab.training.sampling import draw_latents, generate_images

THUMBNAIL = 16  # pixels of a side: enough to find alike samples, and the file stays small


class Projector(Callback):
    """Show the first images of the run's seed at their latents, and at their own pixels.

    Args:
        num_images: points of each cloud.
    """

    def __init__(self, num_images: int = 256) -> None:
        if num_images < 2:
            raise UserError(f"callbacks.projector.num_images={num_images} must be at least 2")
        self.num_images = num_images

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        shown = [logger for logger in trainer.loggers if hasattr(logger, "log_embedding")]
        if not shown or not trainer.is_global_zero:
            return
        generator, seed, step = pl_module.generator_ema, pl_module.seed, pl_module.images_seen
        latents = draw_latents(seed, 0, self.num_images, generator.latent_dim)
        images = generate_images(generator, self.num_images, seed)
        if images.ndim == 2:  # points are seen at their place in the sample plots
            return
        pixels = F.adaptive_avg_pool2d(images.float(), THUMBNAIL).flatten(1)
        for logger in shown:
            logger.log_embedding("latents", latents, images, step)
            logger.log_embedding("samples", pixels, images, step)  # opens with the last one
