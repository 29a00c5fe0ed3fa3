"""Jukebox of transformers 4; run by benchmarks/jukebox_sampling.py and jukebox_vqvae.py with transformers 4 on the path.

    python jukebox.py FOLDER

FOLDER has config.json and weights.pt, the names of which are those of transformers 4. Reads one question per line, a JSON
object whose `do` names a function below and whose rest are its arguments; answers with one JSON object per line.
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from transformers import JukeboxPrior, JukeboxPriorConfig, JukeboxVQVAE, JukeboxVQVAEConfig

CLASSES = {"jukebox_prior": (JukeboxPriorConfig, JukeboxPrior), "jukebox_vqvae": (JukeboxVQVAEConfig, JukeboxVQVAE)}


class Side:
    """The model, and what is asked of it."""

    def __init__(self, folder: Path):
        self.folder = folder
        config = json.loads((folder / "config.json").read_text())
        config_class, model_class = CLASSES[config.pop("model_type")]
        self.model = model_class(config_class(**config)).eval()
        self.model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
        self.inputs = torch.load(folder / "inputs.pt", weights_only=True)

    def version(self) -> dict:
        return {"transformers": transformers.__version__, "torch": torch.__version__}

    def threads(self, count: int) -> dict:
        torch.set_num_threads(count)
        return {}

    def sample(self, batch_size: int, tokens: int) -> dict:
        """Seconds that each token takes, and all of them."""
        metadata, times = self.inputs["metadata"].expand(batch_size, -1), []
        hook = self.model.prior.transformer.register_forward_hook(lambda *_: times.append(time.perf_counter()))
        torch.manual_seed(0)
        start = time.perf_counter()
        self.model.sample(batch_size, metadata=metadata, sample_tokens=tokens)
        end = time.perf_counter()
        hook.remove()
        return {"seconds": end - start, "ends": [moment - start for moment in [*times[1:], end]]}

    def logits(self) -> dict:
        """Writes what it expects after given codes."""
        conditioning, start, _ = self.model.get_cond(None, self.inputs["metadata"])
        _, logits = self.model.prior(self.inputs["codes"], conditioning, start, get_preds=True)
        torch.save(logits, self.folder / "peer.pt")
        return {}

    def encode(self) -> dict:
        """Seconds for all levels; writes the codes."""
        start = time.perf_counter()
        codes = self.model.encode(self.inputs["audio"])
        end = time.perf_counter()
        torch.save(codes, self.folder / "peer_codes.pt")
        return {"seconds": end - start}

    def decode(self, level: int) -> dict:
        """Seconds from a level's codes; writes the audio."""
        start = time.perf_counter()
        audio = self.model.decode(self.inputs["codes"][level:], start_level=level)
        end = time.perf_counter()
        torch.save(audio, self.folder / f"peer_{level}.pt")
        return {"seconds": end - start}


@torch.no_grad()
def main() -> None:
    side = Side(Path(sys.argv[1]))
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(getattr(side, question.pop("do"))(**question)), flush=True)


if __name__ == "__main__":
    main()
