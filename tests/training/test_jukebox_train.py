"""Training Jukebox from the command line: VQ-VAE, priors, fine-tuning, and one model of all parts."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file
from tiny_jukebox import (
    ARTISTS,
    HOPS,
    RATE,
    TOP,
    VQVAE,
    command,
    log_of,
    tone,
    train_prior,
    train_vqvae,
    write_song,
    write_songs,
)

from hub_models.jukebox import bundle, train
from hub_models.jukebox.codes import vqvae_fingerprint
from hub_models.jukebox.data import ChunkDataset, prepare_recordings
from hub_models.jukebox.loading import load_prior, load_prior_config, load_tokenizer, load_vqvae
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE
from hub_models.jukebox.prior_labels import make_room_for_names
from hub_models.jukebox.processing_jukebox import JukeboxProcessor
from hub_models.jukebox.song_files import find_songs
from hub_models.jukebox.train_prior import parse_level
from hub_models.jukebox.train_vqvae import bandwidth_of
from hub_models.training import NoTrainingDataError
from hub_models.training.checkpoints import ResumeError, checkpoint_folders

LEVELS = ("top", "middle", "bottom")


def again():
    """What a new process would have: no accelerator left from the run before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def songs(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Where runs go; they share a cache."""
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def vqvae(songs, runs):
    output = train_vqvae(songs, runs / "vqvae", "--evaluate-every", "4", "--trackers", "tensorboard", max_steps=4)
    again()
    return output


@pytest.fixture(scope="module")
def priors(songs, runs, vqvae):
    outputs = []
    for level in LEVELS:
        outputs.append(train_prior(level, songs, vqvae, runs / level, "--evaluate-every", "2"))
        again()
    return outputs


@pytest.fixture(scope="module")
def whole(runs, vqvae, priors):
    bundle.main(["--vqvae", str(vqvae), "--priors", *map(str, reversed(priors)), "--output", str(runs / "whole")])
    return runs / "whole"


def weights(output):
    return load_file(output / "model.safetensors")


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def state_of(output):
    """What the newest checkpoint knows of the model, with the codebooks' averages."""
    return load_file(checkpoint_folders(output)[-1] / "model.safetensors")


# The VQ-VAE


def test_the_vqvae_learns(songs, tmp_path):
    output = train_vqvae(songs, tmp_path / "run", "--learning-rate", "5e-3", max_steps=60)
    losses = [line["loss"] for line in log_of(output, "train")]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_its_bandwidth_is_measured_on_the_data_and_stored(songs, runs, vqvae):
    model = JukeboxVQVAE.from_pretrained(vqvae)
    recordings = prepare_recordings(find_songs([songs])[0], RATE, runs / "cache", progress=False)
    chunks = ChunkDataset(recordings.select("train"), 512)
    bandwidth = bandwidth_of(chunks, model.config)
    found = (model.config.bandwidth_l1, model.config.bandwidth_l2, model.config.bandwidth_spec)
    assert found == (bandwidth.l1, bandwidth.l2, bandwidth.spec)
    samples = np.concatenate([recording.samples for recording in recordings.select("train")]) / 32768
    assert bandwidth.l1 == pytest.approx(np.abs(samples).mean(), rel=0.3)
    assert bandwidth.l2 == pytest.approx(samples.var(), rel=0.3)


def test_it_is_validated_at_every_level_and_its_codebooks_are_watched(vqvae):
    (validation,) = log_of(vqvae, "validation")
    for name in ("bottom", "middle", "top"):
        assert math.isfinite(validation[f"spectral_convergence_db_{name}"])
    training = log_of(vqvae, "train")[-1]
    for level in range(3):
        assert 0 < training[f"codes_used_level_{level}"] <= 16
        assert 0 < training[f"codebook_entropy_level_{level}"] <= math.log(16)


def test_trackers_hear_each_level(vqvae):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    heard = set(EventAccumulator(str(vqvae / "logs/training")).Reload().Tags()["audio"])
    assert {f"chunk-1/{name}" for name in ("recording", "bottom", "middle", "top")} <= heard


def test_the_codebooks_averages_are_in_checkpoints_and_not_in_the_model(vqvae):
    names = weights(vqvae).keys()
    assert "bottleneck.level_blocks.0.codebook" in names
    assert not any("code_counts" in name or "code_sums" in name for name in names)
    assert any("code_counts" in name for name in state_of(vqvae))


@pytest.mark.parametrize("more", [["--ema-decay", "0.5"], ["--gradient-accumulation-steps", "2"]])
def test_a_resumed_vqvae_is_that_of_an_uninterrupted_run(songs, tmp_path, more):
    train_vqvae(songs, tmp_path / "parts", *more, max_steps=2)
    again()
    train_vqvae(songs, tmp_path / "parts", *more, max_steps=5)
    again()
    train_vqvae(songs, tmp_path / "whole", *more, max_steps=5)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert_equal(state_of(tmp_path / "parts"), state_of(tmp_path / "whole"))
    assert log_of(tmp_path / "parts", "train") == log_of(tmp_path / "whole", "train")


def test_fine_tuning_starts_with_the_weights_of_another_run(songs, vqvae, whole, tmp_path):
    for number, start in enumerate((vqvae, whole)):
        more = ("--init-from", start, "--override", "sample_length=1024", "--learning-rate", "1e-9")
        output = train_vqvae(songs, tmp_path / str(number), *more, tiny=False, max_steps=1)
        again()
        tuned = JukeboxVQVAE.from_pretrained(output)
        assert tuned.config.sample_length == 1024
        for name, value in weights(vqvae).items():
            if "codebook" not in name:
                torch.testing.assert_close(weights(output)[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["sample_length=520"], "multiple of the top level's 16 samples"),
        (["sample_length=128"], "longer than the 128 samples"),
        (["no_such_number=3"], "write KEY=VALUE with one of these keys"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(songs, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        train_vqvae(songs, tmp_path / "run", "--override", *VQVAE, *more, tiny=True)


def test_songs_that_are_all_too_short_or_silent_are_refused(tmp_path):
    write_song(tmp_path / "short/a.wav", tone(0, 0.1))
    with pytest.raises(NoTrainingDataError, match=r"1 are shorter than the 512 samples \(0\.13 seconds\) of a chunk"):
        train_vqvae(tmp_path / "short", tmp_path / "run", "--validation-share", "0")
    again()
    write_song(tmp_path / "silent/a.wav", np.zeros(RATE, np.float32))
    with pytest.raises(ValueError, match="All sound is silent"):
        train_vqvae(tmp_path / "silent", tmp_path / "run", "--validation-share", "0")
    again()
    with pytest.raises(NoTrainingDataError, match="No song is of the split 'other'"):
        train_vqvae(tmp_path / "silent", tmp_path / "run", "--train-split", "other")


def test_a_run_is_not_gone_on_with_under_other_settings(songs, vqvae):
    with pytest.raises(ResumeError, match=re.escape("config.commit was 0.05 and is now 0.1")):
        train_vqvae(songs, vqvae, "--override", *VQVAE, "commit=0.1", max_steps=6)


# Priors


@pytest.mark.parametrize("level", LEVELS)
def test_a_prior_learns(songs, runs, vqvae, tmp_path, level):
    more = ("--learning-rate", "2e-2", "--cache", runs / "cache", "--label-dropout", "0")
    output = train_prior(level, songs, vqvae, tmp_path / "run", *more, max_steps=40)
    bits = [line["bits"] for line in log_of(output, "train")]
    assert bits[0] == pytest.approx(4, abs=0.2)  # of 16 codes
    assert np.mean(bits[-5:]) < np.mean(bits[:3]) - 0.3


def test_a_prior_is_validated_with_and_without_labels_and_for_each_artist(priors):
    for level, output in zip(LEVELS, priors, strict=True):
        (line,) = log_of(output, "validation")
        names = {"bits", "bits_without_labels", "bits_Low Voice", "bits_high voice"}
        names |= {"bits_without_lyrics", "lyric_bits"} if level == "top" else set()
        assert names == {name for name in line if "bits" in name}
        assert all(line[name] > 0 for name in names)
        by_artist = [line["bits_Low Voice"], line["bits_high voice"]]
        assert min(by_artist) <= line["bits"] <= max(by_artist)


def test_a_prior_says_what_it_was_trained_on(vqvae, priors):
    summary = json.loads((priors[0] / "data_summary.json").read_text())
    assert summary["vqvae"] == vqvae_fingerprint(load_vqvae(str(vqvae)))
    assert set(summary["artists"]) == set(ARTISTS)
    tokenizers = [load_tokenizer(str(output)) for output in priors]
    assert len({json.dumps(each.artists_encoder) for each in tokenizers}) == 1
    assert {name: number for name, number in tokenizers[0].artists_encoder.items() if number} == {
        "high voice": 1,
        "low voice": 2,
    }


def test_a_resumed_prior_is_that_of_an_uninterrupted_run(songs, runs, vqvae, tmp_path):
    more = ("--cache", runs / "cache", "--label-dropout", "0.5", "--optimizer", "muon", "--ema-decay", "0.5")
    train_prior("middle", songs, vqvae, tmp_path / "parts", *more, max_steps=2)
    again()
    train_prior("middle", songs, vqvae, tmp_path / "parts", *more, max_steps=5)
    again()
    train_prior("middle", songs, vqvae, tmp_path / "whole", *more, max_steps=5)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    assert log_of(tmp_path / "parts", "train") == log_of(tmp_path / "whole", "train")


def test_codes_are_encoded_once_for_all_priors(songs, runs, priors):
    assert len(list((runs / "cache").glob("codes-*/index.json"))) == 2  # one for each split


def test_a_prior_must_fit_the_codes_and_the_names(songs, runs, vqvae, priors, tmp_path):
    cache = ("--cache", runs / "cache")
    with pytest.raises(ValueError, match=r"The songs have 3 genres and 3 artists.*add --override 'metadata_dims=\[3, 3\]'"):
        train_prior("top", songs, vqvae, tmp_path / "run", *cache, "--override", *TOP, "metadata_dims=[2,2]")
    again()
    with pytest.raises(ValueError, match="is the prior of level 1 from the top, not of level 0"):
        train_prior("top", songs, vqvae, tmp_path / "run", *cache, "--init-from", priors[1], tiny=False)
    again()
    other = train_vqvae(songs, tmp_path / "other", "--override", *VQVAE, "nb_discrete_codes=8", max_steps=1)
    again()
    with pytest.raises(ValueError, match="is a prior of other codes"):
        train_prior("top", songs, other, tmp_path / "run", *cache, "--init-from", priors[0], tiny=False)


@pytest.mark.parametrize(
    ("level", "levels", "expected"), [("top", 3, 0), ("middle", 3, 1), ("bottom", 3, 2), ("bottom", 2, 1), ("1", 4, 1)]
)
def test_levels_have_names_and_numbers_from_the_top(level, levels, expected):
    assert parse_level(level, levels) == expected


def test_a_level_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="the levels of this VQ-VAE are top, bottom, 0, 1"):
        parse_level("middle", 2)


@pytest.mark.parametrize("options", [["--level", "top"], ["--level", "top", "--vqvae", "x", "--label-dropout", "2"]])
def test_options_that_make_no_sense_end_with_a_message(options, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.parse_arguments(command("prior", tmp_path, tmp_path, *options))
    assert re.search("--vqvae is needed|must lie between 0 and 1", capsys.readouterr().err)


# Fine-tuning a prior on other songs


@pytest.fixture(scope="module")
def own_songs(tmp_path_factory):
    """Songs by one artist that the model knows and one that it does not, in a new genre."""
    folder = tmp_path_factory.mktemp("own")
    rows = ["file,artist,genre,split"]
    for number, artist in enumerate(("New Artist", "high voice", "New Artist", "high voice")):
        write_song(folder / f"{number}.wav", tone(50 + number))
        rows.append(f"{number}.wav,{artist},jazz,{'train' if number < 2 else 'validation'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def tuned(own_songs, whole, runs):
    """The top prior of the whole model, one tiny step later."""
    output = train_prior(
        "top", own_songs, None, runs / "tuned", "--init-from", whole, "--learning-rate", "1e-9", tiny=False, max_steps=1
    )
    again()
    return output


def test_new_names_get_new_rows_that_start_as_those_of_unknown_names(priors, tuned):
    before, after = weights(priors[0]), weights(tuned)
    for table, rows in {"artist_emb": 4, "bow_genre_emb": 4}.items():
        name = f"metadata_embedding.{table}.weight"
        assert after[name].shape[0] == rows
        known = len(before[name])
        torch.testing.assert_close(after[name][:known], before[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(after[name][known:], before[name][:1].expand(rows - known, -1), rtol=0, atol=1e-6)
    tokenizer = load_tokenizer(str(tuned))
    assert [tokenizer.artists_encoder[name] for name in ("high voice", "low voice", "new artist")] == [1, 2, 3]
    assert tokenizer.genres_encoder["jazz"] == 3
    assert JukeboxPrior.from_pretrained(tuned).config.metadata_dims == [4, 4]


def test_its_codes_are_those_of_the_model_that_it_started_from(tuned, vqvae):
    assert json.loads((tuned / "data_summary.json").read_text())["vqvae"] == vqvae_fingerprint(load_vqvae(str(vqvae)))


def test_a_tuned_prior_takes_its_place_in_the_model(whole, tuned, tmp_path):
    bundle.main(["--base", str(whole), "--priors", str(tuned), "--output", str(tmp_path)])
    model, base = JukeboxModel.from_pretrained(tmp_path), JukeboxModel.from_pretrained(whole)
    labels = JukeboxProcessor.from_pretrained(tmp_path)(artist="New Artist", genre="jazz", lyrics="la")["labels"]
    assert [int(row[0, 3]) for row in labels] == [3, 3, 3]
    for level in (1, 2):  # the tables of the other priors have grown, too
        assert model.config.prior_configs[level].metadata_dims == [4, 4]
        assert torch.equal(model.priors[level].prior.pos_emb.pos_emb, base.priors[level].prior.pos_emb.pos_emb)
    codes = model.ancestral_sample(labels, sample_length=512, generator=torch.Generator().manual_seed(0))
    assert [tuple(row.shape) for row in codes] == [(1, 512 // hop) for hop in reversed(HOPS)]


def test_a_table_that_is_long_enough_stays(priors):
    prior = load_prior(str(priors[0]), load_prior_config(str(priors[0]), 0))
    assert make_room_for_names(prior, load_tokenizer(str(priors[0]))) == {"genres": 0, "artists": 0}
    assert prior.config.metadata_dims == [3, 4]


# One model of all parts


def test_the_whole_model_holds_the_parts(vqvae, priors, whole):
    model = JukeboxModel.from_pretrained(whole)
    assert_equal(weights(vqvae), {name: value for name, value in model.vqvae.state_dict().items() if "code_" not in name})
    for prior, output in zip(model.priors, priors, strict=True):
        found = prior.state_dict()
        assert all(torch.equal(found[name], value) for name, value in weights(output).items())
    processor = JukeboxProcessor.from_pretrained(whole)
    assert processor.sampling_rate == RATE
    assert processor.feature_extractor.hop_length == HOPS[-1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_priors_can_be_stored_in_half(runs, vqvae, priors, whole, dtype, tmp_path):
    parts = ["--vqvae", str(vqvae), "--priors", *map(str, priors)]
    bundle.main([*parts, "--output", str(tmp_path), "--dtype", dtype, "--max-megabytes", "1"])
    stored = weights(tmp_path)
    assert {str(value.dtype) for name, value in stored.items() if name.startswith("priors.")} == {f"torch.{dtype}"}
    assert {value.dtype for name, value in stored.items() if name.startswith("vqvae.")} == {torch.float32}
    model = JukeboxModel.from_pretrained(tmp_path)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert_equal(weights(vqvae), {name: value for name, value in model.vqvae.state_dict().items() if "code_" not in name})
    with pytest.raises(bundle.BundleError, match=r"--max-megabytes allows 0\.001"):
        bundle.main([*parts, "--output", str(tmp_path), "--dtype", dtype, "--max-megabytes", "0.001"])


def test_the_head_that_follows_the_lyrics_is_written_into_the_configuration(songs, runs, vqvae, priors, tmp_path, capsys):
    parts = ["--vqvae", str(vqvae), "--priors", *map(str, priors), "--output", str(tmp_path), "--cache", str(runs / "cache")]
    bundle.main([*parts, "--align-on", str(songs)])
    layer, head = map(int, re.search(r"layer (\d+), head (\d+)", capsys.readouterr().err).groups())
    top = JukeboxModel.from_pretrained(tmp_path).priors[0]
    assert (top.config.alignment_layer, top.config.alignment_head) == (layer, head)
    assert top.config.layer_attentions[layer] == "cross_attention"
    with pytest.raises(bundle.BundleError, match="no song of the split 'test' has words"):
        bundle.main([*parts, "--align-on", str(songs), "--split", "test"])


def test_parts_that_do_not_belong_together_are_refused(songs, own_songs, runs, vqvae, priors, tmp_path):
    def bundled(*arguments):
        bundle.main([*map(str, arguments), "--output", str(tmp_path / "whole")])

    with pytest.raises(bundle.BundleError, match="No prior is given for level 1"):
        bundled("--vqvae", vqvae, "--priors", priors[0], priors[2])
    with pytest.raises(bundle.BundleError, match="are both priors of level 0"):
        bundled("--vqvae", vqvae, "--priors", priors[0], priors[0])
    other = train_vqvae(songs, tmp_path / "other", "--seed", "1", max_steps=1)
    again()
    with pytest.raises(bundle.BundleError, match="was trained on the codes of another VQ-VAE"):
        bundled("--vqvae", other, "--priors", *priors)
    foreign = train_prior("bottom", own_songs, vqvae, tmp_path / "foreign", max_steps=1)
    with pytest.raises(bundle.BundleError, match="names or ids that another part has not"):
        bundled("--vqvae", vqvae, "--priors", priors[0], priors[1], foreign)
    with pytest.raises(SystemExit):
        bundled("--priors", *priors)


def test_weights_that_half_precision_cannot_hold_are_refused(priors, vqvae):
    model = bundle.assemble(load_vqvae(str(vqvae)), [load_prior(str(priors[0]), load_prior_config(str(priors[0]), 0))])
    with torch.no_grad():
        model.priors[0].prior.pos_emb.pos_emb[0] = 1e6
    with pytest.raises(bundle.BundleError, match=r"weights up to 1e\+06, which float16 cannot hold"):
        bundle.store_as(model, torch.float16)


def test_the_example_in_the_documentation_names_options_that_there_are():
    lines = [line for line in Path(train.__file__).read_text().splitlines() if line.startswith("accelerate launch")]
    assert len(lines) == 3
    for line in lines:
        assert train.parse_arguments(line.split("hub_models.jukebox.train ")[1].split()).part in ("vqvae", "prior")
