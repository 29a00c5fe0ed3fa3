"""Models of transformers 4 mean here what they meant there, except where transformers 4 was wrong.

transformers 4 builds small models with random weights and computes; the files it saved are converted and loaded. Skipped
where it cannot be installed; `python -m tests.jukebox.transformers4` says why.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conversion.hf_jukebox import convert
from hub_models.jukebox import JukeboxConfig, JukeboxModel, JukeboxPrior, JukeboxTokenizer
from hub_models.jukebox.labels import window_metadata
from hub_models.jukebox.sampling_windows import conditioning_codes

from . import transformers4

CONTEXTS = (32, 64, 128)  # of the worker's levels from the top
LENGTH = 512
TOTAL_LENGTH, OFFSET = 4 * LENGTH, 2 * LENGTH
TEXTS = (
    ("Abba", "pop", "Mamma mia, here I go again!"),
    ("The Artist", "rock", "It's 12:30...\nsing (aloud)!"),
    ("", "", ""),
)
FOREIGN = ("Abba", "pop", "Жук")
LEVELS = range(3)
#: Of the largest value.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the worker wrote."""
    try:
        transformers4.install()
    except transformers4.NotInstallableError as error:
        pytest.skip(str(error))
    output = tmp_path_factory.mktemp("transformers4")
    transformers4.run(output)
    return output


@pytest.fixture(scope="module", params=["joint", "separate"])
def theirs(request, folder) -> dict[str, Any]:
    """What transformers 4 computed with lyrics in the codes' sequence, and with an encoder for them."""
    return {**torch.load(folder / f"{request.param}.pt", weights_only=True), "folder": folder / request.param}


@pytest.fixture(scope="module")
def converted(theirs) -> Path:
    """Its pickle, converted."""
    output = theirs["folder"] / "converted"
    convert(theirs["folder"] / "bin", output)
    return output


@pytest.fixture(scope="module")
def model(converted) -> JukeboxModel:
    return JukeboxModel.from_pretrained(converted).eval()


@pytest.fixture(scope="module")
def tokenizer(converted) -> JukeboxTokenizer:
    return JukeboxTokenizer.from_pretrained(converted)


def assert_close(ours: Tensor, expected: Tensor):
    assert ours.shape == expected.shape
    largest = expected.abs().max().item()
    assert (ours - expected).abs().max().item() <= TOLERANCE * largest


def inputs_of(prior: JukeboxPrior, theirs: dict[str, Any]) -> dict[str, Any]:
    """Codes of the level above and metadata, as transformers 4 was given them. Its bags of genres have one place here, those
    of our upsamplers five."""
    level, metadata = prior.config.level, theirs["priors"][prior.config.level]["metadata"]
    missing = 4 + prior.config.max_nb_genres + prior.config.nb_relevant_lyric_tokens - metadata.shape[1]
    padded = torch.cat([metadata, torch.full((len(metadata), missing), -1)], dim=1)
    return {"music_tokens_conds": theirs["prior_codes"][level - 1] if level else None, "metadata": padded}


# What was right


def test_audio_has_the_same_codes_and_codes_the_same_audio(model, theirs):
    encoded = model.encode(theirs["audio"])
    for level in LEVELS:
        assert len(theirs["codes"][level].unique()) > 4  # codes that say something
        assert torch.equal(encoded[level], theirs["codes"][level])
        assert_close(model.vqvae.decode(theirs["codes"][level:], start_level=level), theirs["decoded"][level])


@pytest.mark.parametrize("level", LEVELS)
@torch.no_grad()
def test_priors_hear_the_same(model, theirs, level):
    prior, expected = model.priors[level], theirs["priors"][level]
    heard = prior.conditioning(**inputs_of(prior, theirs))
    assert_close(heard.start, expected["start"])
    assert_close(heard.audio[:, -CONTEXTS[level] :], expected["audio_conditioning"])


@pytest.mark.parametrize("level", LEVELS)
@torch.no_grad()
def test_priors_expect_the_same(model, theirs, level):
    prior, expected = model.priors[level], theirs["priors"][level]
    output = prior(theirs["prior_codes"][level], **inputs_of(prior, theirs))
    assert_close(output.logits[:, -CONTEXTS[level] :], expected["logits"][:, -CONTEXTS[level] :])


@torch.no_grad()
def test_losses_of_lyrics_and_music_are_the_same(model, theirs):
    prior, expected = model.priors[0], theirs["priors"][0]
    inputs = inputs_of(prior, theirs)["metadata"]
    losses = [prior(theirs["prior_codes"][0][row : row + 1], None, inputs[row : row + 1]).loss for row in range(2)]
    assert_close(torch.stack(losses), expected["losses"])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("way", ["greedy", "primed"])
def test_priors_write_the_same(model, theirs, level, way):
    prior, expected = model.priors[level], theirs["priors"][level][way]
    known = theirs["prior_codes"][level][:, : CONTEXTS[level] // 4 + 1] if way == "primed" else None
    written = prior.sample(2, known, **inputs_of(prior, theirs), temp=0.99, top_k=1, sample_tokens=expected.shape[1])
    assert len(expected.unique()) > 4
    assert torch.equal(written, expected)


@pytest.mark.parametrize("level", LEVELS)
def test_windows_hear_the_same_part_of_the_song(model, theirs, level):
    config, expected = model.priors[level].config, theirs["priors"][level]
    for start, name in ((0, "metadata"), (CONTEXTS[level] // 2, "later_metadata")):
        told = window_metadata(expected["labels"], config, start, TOTAL_LENGTH, OFFSET)
        known = expected[name].shape[1]
        assert torch.equal(told[:, :known], expected[name])
        assert (told[:, known:] == -1).all()


@pytest.mark.parametrize("song", range(len(TEXTS)))
def test_texts_are_the_same_tokens(tokenizer, theirs, song):
    rows = tokenizer(*TEXTS[song])["input_ids"]
    for level in LEVELS:
        assert rows[level].tolist() == theirs["tokens"][song][level].tolist()


def test_songs_of_one_window_are_the_same_from_labels_to_the_finest_codes(model, theirs):
    labels = theirs["song_labels"]
    codes = model.ancestral_sample(labels, n_samples=2, sampling_temperature=0.01, sample_length=LENGTH, top_k=1)
    for level in LEVELS:
        assert not torch.equal(theirs["songs"][level][0], theirs["songs"][level][1])
        assert torch.equal(codes[level], theirs["songs"][level])


def test_a_folder_of_safetensors_is_loaded_as_it_is(folder):
    theirs = {**torch.load(folder / "separate.pt", weights_only=True)}
    model, report = JukeboxModel.from_pretrained(folder / "separate" / "safetensors", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for prior, expected in zip(model.eval().priors, theirs["priors"], strict=True):
        assert prior.config.merged_decoder
        with torch.no_grad():
            output = prior(theirs["prior_codes"][prior.config.level], **inputs_of(prior, theirs))
        assert_close(output.logits, expected["logits"])


# What was wrong


@torch.no_grad()
def test_the_loss_is_that_of_each_levels_own_codebook(model, theirs):
    vqvae, config = model.vqvae, model.config.vqvae_config
    ours = config.commit * vqvae(theirs["long_audio"]).metrics["commitment_loss"]
    codebooks = vqvae.bottleneck.level_blocks
    vqvae.bottleneck.level_blocks = codebooks[::-1]
    try:
        reversed_levels = config.commit * vqvae(theirs["long_audio"]).metrics["commitment_loss"]
    finally:
        vqvae.bottleneck.level_blocks = codebooks
    assert_close(reversed_levels, theirs["commitment_loss"])
    assert (ours - reversed_levels).abs() > 1e-3 * ours


@torch.no_grad()
def test_every_prior_has_a_loss_for_several_songs(model, theirs):
    had = [prior["has_loss"] for prior in theirs["priors"]]
    assert had == [model.config.prior_configs[0].has_lyric_prefix, False, False]
    for prior in model.priors:
        codes, inputs = theirs["prior_codes"][prior.config.level], inputs_of(prior, theirs)
        loss = prior(codes, **inputs).loss
        alone = [
            prior(codes[row : row + 1], **{n: v if v is None else v[row : row + 1] for n, v in inputs.items()}).loss
            for row in range(2)
        ]
        torch.testing.assert_close(loss, torch.stack(alone).mean())


def test_every_song_of_a_batch_hears_its_own_lyrics(model, theirs):
    lyrics = theirs["metadata_of_two"][:, -model.priors[0].config.nb_relevant_lyric_tokens :]
    assert torch.equal(lyrics[0], lyrics[1])  # of the first song, which is another one
    labels = theirs["priors"][0]["labels"]
    told = window_metadata(labels, model.priors[0].config, 0, TOTAL_LENGTH, OFFSET)
    for row in range(2):
        alone = window_metadata(labels[row : row + 1], model.priors[0].config, 0, TOTAL_LENGTH, OFFSET)
        assert torch.equal(told[row], alone[0])
    assert not torch.equal(told[0, -lyrics.shape[1] :], told[1, -lyrics.shape[1] :])


def test_later_windows_of_upsamplers_hear_their_own_codes_alone(model, theirs):
    above = theirs["long_codes"][0]
    assert theirs["second_window_conditions"][0].tolist() == above.tolist()  # of both windows
    heard = conditioning_codes(model.priors[1], above, start=CONTEXTS[1])
    assert heard.tolist() == above[:, CONTEXTS[0] :].tolist()


def test_lyrics_in_other_scripts_are_spelled_out(tokenizer, theirs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = tokenizer(*FOREIGN)["input_ids"][0]
    spelled = tokenizer(*FOREIGN[:2], "Zhuk")["input_ids"][0]
    assert row.tolist() == spelled.tolist()
    assert row.tolist() != theirs["foreign_tokens"][0].tolist()


def test_models_of_dense_layers_can_be_made(theirs):
    assert not theirs["knows_dense_attention"]
    top = {"level": 0, "attention_pattern": "full_dense_attention", "nb_relevant_lyric_tokens": 0, "num_layers": 2}
    small = {"hidden_size": 16, "n_heads": 2, "n_ctx": 16, "blocks": 4, "is_encoder_decoder": False}
    config = JukeboxConfig(prior_config_list=[{**top, **small, "metadata_conditioning": False}])
    torch.manual_seed(0)
    assert JukeboxPrior(config.prior_configs[0]).sample(1, sample_tokens=2).shape == (1, 2)
