"""The game on a blackboard: every step of two parameters, drawn over the field they follow."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor

from gan_lab import UserError
from gan_lab.metrics.card import to_json
from gan_lab.metrics.game import Fate, Game, Updates, distances, fate_of, position, theory
from gan_lab.metrics.portrait import portrait_picture
from gan_lab.metrics.storage import write_atomically
from gan_lab.training.callbacks.checkpoints import stopped_by_signal
from gan_lab.training.measures import Diverged
from gan_lab.training.module import GAN
from gan_lab.training.probe import as_inputs

SHOWN = 64  # reals that the field is computed on


class PhasePortrait(Callback):
    """Write phase_portrait.png and game.json at the end of a run of one parameter a player.

    The path is recorded after every batch and kept in checkpoints; the training does not notice.
    Other networks train as well: then it says that there is nothing to draw.

    Args:
        arrows: of the field, along either axis.
    """

    def __init__(self, arrows: int = 21) -> None:
        if not 3 <= arrows <= 101:
            raise UserError(f"callbacks.phase_portrait.arrows={arrows} must lie in 3 to 101")
        self.arrows = arrows
        self.path: list[Tensor] = []  # (theta, psi) after each batch, and at the start
        self.active = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.active = False
        if not trainer.is_global_zero:
            return
        try:
            self.game = game_of(trainer, pl_module)
        except UserError as error:
            print(f"no phase portrait: {error}")
            return
        self.active = True
        if pl_module.images_seen == 0:
            self.path = [where(pl_module)]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if self.active:
            self.path.append(where(pl_module))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.active and not stopped_by_signal(trainer):
            self.conclude(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """A game that ended in infinities has a portrait, too."""
        if self.active and isinstance(exception, Diverged):
            self.conclude(trainer, pl_module)

    def conclude(self, trainer: Any, module: GAN) -> None:
        folder, path = Path(trainer.default_root_dir), torch.stack(self.path).cpu()
        told = report(self.game, path, plain_descent(module))
        write_atomically(folder / "game.json", to_json(told).encode(), parents=False)
        title = (
            f"eigenvalues {say(told['eigenvalues'])}\n"
            f"{told['theory']['continuous']} in theory, {told['measured']['verdict']} as measured"
        )
        picture = portrait_picture(self.game, path, self.arrows, title)
        write_atomically(folder / "phase_portrait.png", picture, parents=False)

    def state_dict(self) -> dict[str, Tensor]:
        return {"path": torch.stack(self.path).cpu()} if self.path else {}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.path = list(state_dict.get("path", ()))


def game_of(trainer: Any, module: GAN) -> Game:
    """The run's game on the first of its training data; what it remembers is as it is now."""
    real = as_inputs(trainer.datamodule.images("train")[0][:SHOWN]).contiguous()
    parts = (module.generator, module.discriminator, module.objective)
    with torch.random.fork_rng(devices=[]):
        return Game(*parts, real.to(module.device)).cpu()


def where(
    module: GAN,
) -> Tensor:  # -> [2], where the parameters are: waiting for the device is dear
    return position(module.generator, module.discriminator)


def plain_descent(module: GAN) -> Updates | None:
    """How plain gradient descent steps here; None for other optimizers, with no such theory."""
    rates = []
    for optimizer in (module.optimizers(use_pl_optimizer=False))[::-1]:  # type: ignore[index]
        group = optimizer.param_groups[0]
        if type(optimizer) is not torch.optim.SGD or group["momentum"] or group["weight_decay"]:
            return None
        rates.append(float(group["initial_lr"]))
    return Updates((rates[0], rates[1]), module.n_critic)


def report(game: Game, path: Tensor, updates: Updates | None) -> dict[str, Any]:
    """What game.json holds: eigenvalues, what theory says, what was measured."""
    said, measured = theory(game, updates), fate_of(path, game.equilibrium)
    away = distances(path, game.equilibrium)
    discrete: dict[str, Any] | None = None
    if updates is not None and said.discrete:
        discrete = {
            "rates": dict(zip(("generator", "discriminator"), updates.rates, strict=True)),
            "n_critic": updates.n_critic,
            "spectral_radius": said.radius["alternating"],
            "verdict": said.discrete["alternating"],
        }
    expected = discrete["verdict"] if discrete else said.continuous
    return {
        "equilibrium": game.equilibrium.tolist(),
        "eigenvalues": [[value.real, value.imag] for value in said.eigenvalues],
        "theory": {"continuous": said.continuous, "alternating": discrete},
        "measured": {
            "verdict": measured,
            "steps": len(path) - 1,
            "start": {"place": path[0].tolist(), "distance": away[0].item()},
            "end": {"place": path[-1].tolist(), "distance": away[-1].item()},
        },
        "agree": agree(expected, measured),
    }


def agree(expected: Fate, measured: Fate) -> bool | None:
    """Whether a path did as expected; None where it is too short or the linear theory is silent.

    With all eigenvalues on the axis (of steps: on the unit circle) the higher terms decide.
    """
    if measured is Fate.UNDECIDED:
        return None
    if expected == measured:
        return True
    silent = expected in (Fate.CIRCLES, Fate.UNDECIDED)
    return None if silent else expected is Fate.JUMPS and measured is not Fate.CONVERGES


def say(values: list[list[float]]) -> str:
    """Eigenvalues as text: -0.1 ± 0.49i."""
    if not values:
        return "none"
    (real, imag), (other, _) = values
    if abs(imag) < 1e-6:
        return f"{round(real, 3):g}, {round(other, 3):g}"
    around = f"{round(real, 3):g} " if abs(real) >= 5e-4 else ""
    return f"{around}± {abs(round(imag, 3)):g}i"
