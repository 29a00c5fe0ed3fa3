"""Loading of weights that reads no pickles and never puts up with weights that are missing or do not fit."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel


def refuse_pickles(name_or_path: str | Path):
    """
    Raises:
        ValueError: a folder holds weights as pickles and not as safetensors; says how to convert them.
    """
    folder = Path(name_or_path)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.tar") for path in folder.glob(pattern))
    if pickles:
        raise ValueError(no_safetensors(folder, f"only {pickles[0]}, a pickle"))


def no_safetensors(name_or_path: str | Path, there_is: str) -> str:
    """What to tell a person whose model is not stored as safetensors."""
    return (
        f"{name_or_path} holds no safetensors, {there_is}. Pickles may run code and are not read here; convert a folder of "
        f"transformers 4 with `python -m conversion hf-jukebox`, OpenAI's files with `python -m conversion openai-jukebox`."
    )


class StrictPreTrainedModel(PreTrainedModel):
    """A model whose weights fit its configuration or are refused."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """As in transformers, but strict: only safetensors are read, and weights that are damaged or do not fit the
        configuration are an error, never quietly replaced by random ones. The model is in float32, however its weights are
        stored, unless `dtype` says otherwise.

        Raises:
            ValueError: one sentence that names what is at fault; for pickles, the command that converts them.
        """
        report_wanted = kwargs.pop("output_loading_info", False)
        misfits_allowed = kwargs.pop("ignore_mismatched_sizes", False)
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = torch.float32  # half precision saves disk; arithmetic in it is slow or missing on CPUs
        if pretrained_model_name_or_path is not None:
            refuse_pickles(pretrained_model_name_or_path)
        origin = "" if pretrained_model_name_or_path is None else f" of {pretrained_model_name_or_path}"
        try:
            model, report = super().from_pretrained(
                pretrained_model_name_or_path,
                *model_args,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                **kwargs,
            )
        except SafetensorError as error:
            raise ValueError(f"The weights{origin} are damaged: {error}.") from error
        except OSError as error:
            if "safetensors" not in str(error):
                raise
            raise ValueError(no_safetensors(pretrained_model_name_or_path, "as far as can be seen")) from error
        misfits = {
            "missing": report["missing_keys"],
            "unexpected": report["unexpected_keys"],
            "of another shape": [key for key, *shapes in report["mismatched_keys"]],
        }
        problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
        if problems and not misfits_allowed:
            raise ValueError(f"The weights{origin} do not fit the configuration: tensors {', '.join(problems)}.")
        return (model, report) if report_wanted else model
