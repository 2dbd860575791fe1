"""What the discriminator sees of an image; the same for real and fake, in both players' steps."""

from torch import Tensor, nn


class Identity(nn.Module):
    """No augmentation."""

    def forward(self, images: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        return images
