"""A research template for generative adversarial networks on PyTorch Lightning and Hydra."""

__version__ = "0.1.0"


class UserError(ValueError):
    """What the user gave is wrong: a program prints the message alone and ends with status 2."""


class RunError(RuntimeError):
    """The world failed, not the code (disk, network, divergence): the message alone, status 1."""
