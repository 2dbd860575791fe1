"""Runs side by side: read, grouped by seed, ranked where the protocol allows it, put on a page."""
