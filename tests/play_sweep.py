"""`gan_lab.sweep` with played trainings, for tests in processes of their own."""

from unittest.mock import patch

from gan_lab.launch.jobs import Job
from gan_lab.sweep import main
from tests import play_training

if __name__ == "__main__":
    with patch.object(Job, "command", play_training.command):
        main()
