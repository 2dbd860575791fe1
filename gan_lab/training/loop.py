"""Lightning's loop over epochs, with two corrections for runs that are resumed."""

from typing import Any

from pytorch_lightning.loops.fit_loop import _FitLoop


class WholeFitLoop(_FitLoop):
    """Ends a run that was killed while it ended, and counts epochs right after a resume.

    After the last step come the last grid and the last evaluation, in `on_train_end`: Lightning
    passes over all of that where the checkpoint says that no epoch is left.

    From a checkpoint of an epoch's last batch Lightning goes on with the next epoch without
    counting it as begun. A checkpoint from within that one then passes for a finished epoch, and
    its position among the batches is not restored.
    """

    began = False

    def on_run_start(self) -> None:
        self.began = True
        super().on_run_start()

    def reset(self) -> None:
        super().reset()
        current: Any = self.epoch_progress.current
        if current.ready == current.processed:
            self.reset_restart_stage()

    def run(self) -> None:
        super().run()
        if self.is_resuming and not self.began and self.max_batches and self.done:
            self.on_run_start()
            self.on_run_end()
