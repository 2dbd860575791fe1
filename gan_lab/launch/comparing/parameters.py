"""How many parameters the networks of a run have, built from its config without any memory."""

from typing import Any

import torch

from gan_lab.launch.schema import build
from gan_lab.launch.trust import require_networks


def count_parameters(config: dict[str, Any]) -> dict[str, int] | None:
    """{"generator": .., "discriminator": ..}; None where they cannot be built here.

    A config out of a file may name networks of ours only, as for `generate`.
    """
    networks = config.get("networks")
    if not isinstance(networks, dict):
        return None
    counts = {}
    for player in ("generator", "discriminator"):
        path = f"networks.{player}"
        try:
            require_networks(networks.get(player), path)
            with torch.device("meta"):
                network = build(networks.get(player), path)
        except Exception:  # whatever a foreign config makes a constructor raise: it is not known
            return None
        counts[player] = sum(weight.numel() for weight in network.parameters())
    return counts
