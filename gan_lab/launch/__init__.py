"""What all programs share: the Hydra entry, messages and exit statuses, run folders, resume."""
