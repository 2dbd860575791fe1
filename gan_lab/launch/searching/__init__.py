"""The search for settings: spaces, samplers, shared studies, workers that may be killed."""
