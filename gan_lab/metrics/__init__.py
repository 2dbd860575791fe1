"""Measurements of generated images, as pure functions on feature matrices."""
