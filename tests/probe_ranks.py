"""`gan_lab.train` with a look inside: each rank saves what it saw and what it ended with."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback

from gan_lab import train
from gan_lab.launch import assemble

PLAYERS = ("discriminator", "generator")


def copies(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


class Probe(Callback):
    """Write rank_N.pt beside the run: first batch, first update, final weights, threads."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.seen: dict[str, Any] = {"threads": torch.get_num_threads()}
        self.before = {name: copies(getattr(module, name)) for name in PLAYERS}
        generator = module.generator
        forward = generator.forward

        def spy(latents: torch.Tensor, labels: Any = None) -> torch.Tensor:
            self.seen.setdefault("latents", latents.clone())
            return forward(latents, labels)

        generator.forward = spy

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen.setdefault("rates", []).append(trainer.optimizers[0].param_groups[0]["lr"])
        if "real" not in self.seen:
            self.seen["real"] = batch[0].clone()
            for name in PLAYERS:
                pairs = zip(copies(getattr(module, name)), self.before[name], strict=True)
                self.seen[f"{name}_update"] = [after - before for after, before in pairs]

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.seen["weights"] = [p.detach().clone() for p in module.parameters()]
        path = Path(trainer.default_root_dir) / f"rank_{trainer.global_rank}.pt"
        torch.save(self.seen, path)


build_callbacks = assemble.build_callbacks
assemble.build_callbacks = lambda config: [*build_callbacks(config), Probe()]

if __name__ == "__main__":
    train.main()
