"""Original checkpoints to Hub folders. `python -m conversion --help` lists the sources."""
