"""Where images come from, and how they reach the training device."""
