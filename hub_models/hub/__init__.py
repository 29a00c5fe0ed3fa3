"""Publish and export: the one place that knows what a repository on the Hugging Face Hub looks like.

- `repositories`: a checkpoint folder -> a complete model repository, with code and card, that loads with
  `trust_remote_code=True` where Encore is not installed: of a transformers model (`models`) or a diffusers pipeline
  (`pipelines`).
- `cards`: model cards from a template, the facts in `hub_models/bundled/index.json` and `metrics.json`.
- `licences`: what weights stay under wherever they go, and are not published without.
- `spaces`: the Gradio Space as a folder that runs on the Hub.
- `uploads`: a folder -> the Hub, with every failure told in one sentence.

On the command line: `python -m hub_models.hub publish | card | space` (see `__main__`).
"""

from .cards import check_card, render_card
from .errors import HubError
from .repositories import publish, write_model_repository
from .spaces import publish_space, write_space
from .uploads import upload

__all__ = [
    "HubError",
    "check_card",
    "publish",
    "publish_space",
    "render_card",
    "upload",
    "write_model_repository",
    "write_space",
]
