"""The adversarial game: losses, penalties and their sum, without Lightning."""
