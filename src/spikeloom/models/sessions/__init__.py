"""Several sessions, one generator: neurons are read into, and out of, latents that all sessions share."""
