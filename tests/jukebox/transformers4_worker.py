"""Builds small Jukebox models with transformers 4 and writes what they compute; run with transformers 4 on the path.

    python transformers4_worker.py FOLDER

Writes FOLDER/{joint,separate}/bin and FOLDER/separate/safetensors as `save_pretrained` does, and FOLDER/{joint,separate}.pt:
inputs and results by name.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import JukeboxConfig, JukeboxModel, JukeboxPrior, JukeboxPriorConfig, JukeboxTokenizer

CODES, RATE, ARTISTS, GENRES = 32, 44_100, 5, 6
HOPS, CONTEXTS = (16, 8, 4), (32, 64, 128)  # of levels from the top; every context is the same 512 samples
LENGTH = HOPS[0] * CONTEXTS[0]
TOTAL_LENGTH, OFFSET = 4 * LENGTH, 2 * LENGTH
LYRICS = 8
TEXTS = (  # lyrics of the first two have one length: transformers 4 cannot sample rows of several
    ("Abba", "pop", "Mamma mia, here I go again!"),
    ("The Artist", "rock", "It's 12:30...\nsing (aloud)!"),
    ("", "", ""),
)
FOREIGN = ("Abba", "pop", "Жук")  # unidecode spells it out

_ARTISTS = {"": 0, "abba": 1, "the artist": 2, ".v2": 0, "abba.v2": 3, "the_artist.v2": 4}
_GENRES = {"": 0, "pop": 1, "rock": 2, ".v2": 0, "pop.v2": 3, "rock.v2": 4}
_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?-'\"()[] \t\n"

_SHARED = {
    **{"mask": True, "hidden_size": 32, "n_heads": 2, "num_layers": 3, "blocks": 8, "music_vocab_size": CODES},
    **{"metadata_dims": [GENRES, ARTISTS], "timing_dims": 8, "max_nb_genres": 1, "max_duration": 1.0},
    **{"res_downs_t": [2, 1, 1], "res_strides_t": [2, 2, 2], "res_conv_depth": 2, "res_conv_width": 8},
    **{"res_dilation_growth_rate": 3, "attention_pattern": "raw_column_previous_row_attention"},
    **{"nb_relevant_lyric_tokens": 0, "is_encoder_decoder": False, "conv_res_scale": True},
}
_JOINT = {
    **{"num_layers": 16, "attention_pattern": "enc_dec_with_lyrics", "nb_relevant_lyric_tokens": LYRICS},
    **{"lyric_vocab_size": 79, "is_encoder_decoder": True},
}
_SEPARATE = {
    **{"num_layers": 19, "attention_pattern": "large_separated_enc_dec_w_lyrics", "nb_relevant_lyric_tokens": LYRICS},
    "encoder_config": {
        **{"mask": True, "hidden_size": 16, "n_heads": 1, "num_layers": 2, "blocks": 4, "n_ctx": LYRICS},
        **{"attention_pattern": "raw_column_previous_row_attention", "lyric_vocab_size": 80},
        **{"attention_multiplier": 0.25, "mlp_multiplier": 1.0, "act_fn": "quick_gelu"},
    },
}
_VQVAE = {
    **{"nb_discrete_codes": CODES, "embed_dim": 16, "res_conv_width": 8, "res_conv_depth": 2, "sample_length": LENGTH},
    **{"res_downs_t": [2, 1, 1], "res_strides_t": [2, 2, 2]},
}
#: What is added to the residual stream, and the output, is large: so the likeliest code is far likelier than the others.
LOUD, LOUDNESS = ("emb", "fc_proj_out", "c_proj", "conditioner_blocks.layer_norm"), 30.0
#: The lyric prior of each model, and whether its outputs are tables of their own.
KINDS = {"joint": (_JOINT, False), "separate": (_SEPARATE, True)}


def build(kind: str) -> JukeboxModel:
    """A model whose weights make its choices clear, so that rounding does not turn them."""
    top, is_merged = KINDS[kind]
    shared = {**_SHARED, "merged_decoder": is_merged}
    priors = [{**shared, "level": level, "n_ctx": length} for level, length in enumerate(CONTEXTS)]
    priors[0] |= top
    config = JukeboxConfig(
        vqvae_config=_VQVAE,
        prior_config_list=priors,
        **{name: shared[name] for name in ("timing_dims", "max_nb_genres", "max_duration")},
    )
    model = JukeboxModel(config).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name and name.endswith("weight"):
                weight.normal_(1.0, 0.1, generator=generator)
            elif weight.ndim == 1 or "emb" in name or "fc_proj_out" in name:
                weight.normal_(0.0, 0.1 if weight.ndim == 1 else 1.0, generator=generator)
            else:
                weight.normal_(0.0, (weight.numel() / max(weight.shape)) ** -0.5, generator=generator)
            if name.startswith("priors.") and any(part in name for part in LOUD):
                weight *= LOUDNESS
            if "pos_emb.pos_emb" in name:
                weight *= 2  # or a token that is tied to its embedding would be repeated for ever
        if not is_merged:
            model.priors[0].prior.embed_tokens.weight[: top["lyric_vocab_size"]] *= 0.3  # fewer letters among the codes
        for block in model.vqvae.bottleneck.level_blocks:
            block.codebook.normal_(generator=generator)
    return model


def make_tokenizer(folder: Path) -> JukeboxTokenizer:
    files = {}
    characters = {character: number for number, character in enumerate(_CHARACTERS, start=1)}
    for name, content in (("artists", _ARTISTS), ("genres", _GENRES), ("lyrics", {**characters, "<unk>": 0})):
        files[f"{name}_file"] = folder / f"{name}.json"
        files[f"{name}_file"].write_text(json.dumps(content))
    files = {name: str(path) for name, path in files.items()}
    return JukeboxTokenizer(**files, version=["v3", "v2", "v2"], n_genres=1, max_n_lyric_tokens=40, unk_token="<unk>")


def rows_of(tokenizer: JukeboxTokenizer, text: tuple[str, str, str]) -> list[Tensor]:
    """The labels of each level, the top first."""
    return list(tokenizer(*text, return_tensors="pt")["input_ids"])


def compute_prior(prior: Any, codes: list[Tensor], labels: Tensor) -> dict[str, Any]:
    """Conditioning, logits and codes of a prior, given codes of each level from the top, and labels for each row."""
    level = prior.level
    offset = OFFSET // HOPS[level]  # transformers 4 counts codes
    metadata = torch.cat([prior.get_metadata(row[None], 0, TOTAL_LENGTH, offset) for row in labels])
    later = torch.cat([prior.get_metadata(row[None], CONTEXTS[level] // 2, TOTAL_LENGTH, offset) for row in labels])
    above = codes[level - 1] if level else None
    found: dict[str, Any] = {"labels": labels, "metadata": metadata, "later_metadata": later}
    conditioning, start, _ = prior.get_cond([above] if level else None, metadata)
    found |= {"audio_conditioning": conditioning, "start": start}
    if level:  # forward_tokens of transformers 4 cannot do without lyrics
        _, found["logits"] = prior.prior(codes[level], conditioning, start, get_preds=True)
    else:  # nor, with a lyric encoder, read several rows
        results = [
            prior.forward_tokens(codes[level][row : row + 1], [], metadata[row : row + 1], get_preds=True)
            for row in range(len(metadata))
        ]
        found["logits"] = torch.cat([metrics["preds"] for _, metrics in results])
        found["losses"] = torch.stack([loss for loss, _ in results])
    ways = {"greedy": None, "primed": codes[level][:, : CONTEXTS[level] // 4 + 1]}
    for name, known in ways.items():
        torch.manual_seed(0)
        found[name] = prior.sample(
            len(metadata),
            music_tokens=known,
            music_tokens_conds=[above] if level else None,
            metadata=metadata,
            temp=0.99,
            top_k=1,
            sample_tokens=CONTEXTS[level],
            **({} if known is None else {"chunk_size": 16}),
        )
    found["has_loss"] = has_loss(prior, codes[level], above, metadata)
    return found


def has_loss(prior: Any, codes: Tensor, above: Tensor | None, metadata: Tensor) -> bool:
    """Whether a prior can say how well it expects several rows of codes."""
    try:
        prior.forward_tokens(codes, [] if above is None else [above], metadata)
    except (AttributeError, RuntimeError):
        return False
    return True


def compute(model: JukeboxModel, tokenizer: JukeboxTokenizer) -> dict[str, Any]:
    """What is compared."""
    generator = torch.Generator().manual_seed(2)
    audio = torch.rand(2, LENGTH, 1, generator=generator) * 2 - 1
    encoded = model.vqvae.encode(audio)
    found: dict[str, Any] = {"audio": audio, "codes": encoded}
    found["decoded"] = [model.vqvae.decode(encoded[level:], start_level=level) for level in range(3)]
    found["long_audio"] = torch.rand(2, 8 * LENGTH, 1, generator=generator) * 2 - 1
    found["commitment_loss"] = model.vqvae(found["long_audio"])[1]
    texts = [rows_of(tokenizer, text) for text in TEXTS]
    found |= {"tokens": texts, "foreign_tokens": rows_of(tokenizer, FOREIGN)}
    codes = [torch.randint(CODES, (2, length), generator=generator) for length in CONTEXTS]
    found["prior_codes"] = codes
    labels = [torch.cat([texts[0][level], texts[1][level]]) for level in range(3)]
    found["priors"] = [compute_prior(prior, codes, labels[level]) for level, prior in enumerate(model.priors)]
    found["metadata_of_two"] = model.priors[0].get_metadata(labels[0], 0, TOTAL_LENGTH, OFFSET // HOPS[0])
    same_lyrics = [rows_of(tokenizer, (artist, genre, TEXTS[0][2])) for artist, genre, _ in TEXTS[:2]]
    found["song_labels"] = [torch.cat(rows) for rows in zip(*same_lyrics, strict=True)]
    torch.manual_seed(0)
    found["songs"] = model.ancestral_sample(
        found["song_labels"], n_samples=2, sampling_temperature=0.01, sample_length=LENGTH, save_results=False
    )
    long = [codes[0].repeat(1, 2), codes[1].repeat(1, 2)]
    found["long_codes"] = long
    found["second_window_conditions"] = model.priors[1].get_music_tokens_conds(long, CONTEXTS[1], 2 * CONTEXTS[1])
    return found


def knows_dense_attention() -> bool:
    """Whether a prior without lyrics whose layers are all dense can be made."""
    settings = {**_SHARED, "attention_pattern": "full_dense_attention", "level": 0, "n_ctx": 16, "merged_decoder": True}
    try:
        JukeboxPrior(JukeboxPriorConfig(**settings))
    except KeyError:
        return False
    return True


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    for kind in KINDS:
        folder.joinpath(kind).mkdir()
        model, tokenizer = build(kind), make_tokenizer(folder / kind)
        model.save_pretrained(folder / kind / "bin", safe_serialization=False)
        tokenizer.save_pretrained(folder / kind / "bin")
        if model.config.prior_configs[0].merged_decoder:
            model.save_pretrained(folder / kind / "safetensors", safe_serialization=True)
        with torch.no_grad():
            found = compute(model, tokenizer) | {"knows_dense_attention": knows_dense_attention()}
        torch.save(found, folder / f"{kind}.pt")


if __name__ == "__main__":
    main()
