"""JukeboxModel: the ways to sample in memory, with names and arguments of transformers 4, and its files."""

import json

import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from hub_models.jukebox.modeling_jukebox import JukeboxModel

from .small_models import CODES, HOPS, RATE, small_config, small_model, small_tokenizer

#: 0.32 seconds: a part of a window at the top level, two and four windows below.
LENGTH = 20 * HOPS[0]
LENGTHS = [LENGTH // hop for hop in HOPS]
GREEDY = {"sample_length": LENGTH, "top_k": 1}


#: One window at the top level, three and seven below.
LONG = {"sample_length": 32 * HOPS[0], "top_k": 1}


def make() -> JukeboxModel:
    """A model whose priors have outputs of their own, so that the likeliest code is not always the one before."""
    config = small_config()
    for prior in config.prior_configs:
        prior.merged_decoder = True
    torch.manual_seed(0)
    return JukeboxModel(config).eval()


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def labels():
    return small_tokenizer()("flute", "folk", "la la la")["input_ids"]


@pytest.fixture(scope="module")
def greedy(model, labels):
    return model.ancestral_sample(labels, **GREEDY)


def lengths(codes):
    return [tuple(level.shape) for level in codes]


def same(codes, others):
    return len(codes) == len(others) and all(torch.equal(a, b) for a, b in zip(codes, others, strict=True))


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


# ---- Ways to sample


def test_new_music_has_codes_of_all_levels_the_top_first(model, labels):
    codes = model.ancestral_sample(labels, 2, sample_length=LENGTH, generator=seeded())
    assert lengths(codes) == [(2, length) for length in LENGTHS]
    assert all(0 <= int(level.min()) <= int(level.max()) < CODES for level in codes)
    assert not torch.equal(codes[0][0], codes[0][1])


def test_the_length_is_said_in_samples_seconds_or_codes_of_the_top_level(model, labels, greedy):
    for arguments in ({"sample_length_in_seconds": 0.33}, {"sample_tokens": 20}, {"sample_length": LENGTH + 15}):
        assert lengths(model.ancestral_sample(labels, **arguments)) == lengths(greedy)


def test_draws_follow_from_the_generator_and_samples_may_have_their_own(model, labels):
    def drawn(generator, count=2):
        return model.ancestral_sample(labels, count, sample_length=LENGTH, generator=generator)

    assert same(drawn(seeded(1)), drawn(seeded(1)))
    assert not same(drawn(seeded(1)), drawn(seeded(2)))
    both = drawn([seeded(1), seeded(2)])
    assert same([level[1:] for level in both], drawn([seeded(2)], 1))


def test_batches_and_chunks_change_nothing(model, labels):
    def drawn(**arguments):
        generators = [seeded(number) for number in range(3)]
        return model.ancestral_sample(labels, 3, sample_length=LENGTH, generator=generators, **arguments)

    assert same(drawn(), drawn(max_batch_size=2, lower_batch_size=1, chunk_size=4))


def test_music_goes_on_from_sound(model, labels):
    sound = torch.sin(torch.arange(165) * 0.3)[None, :, None]
    codes = model.primed_sample(sound, labels, **LONG)
    assert lengths(codes) == [(1, 32 * HOPS[0] // hop) for hop in HOPS]
    for level, beginning in enumerate(reversed(model.encode(sound[:, :160]))):
        assert torch.equal(codes[level][:, : 160 // HOPS[level]], beginning)
    assert same(codes, model.primed_sample([sound[0]], labels, **LONG))


def test_music_goes_on_from_codes(model, labels):
    whole = model.ancestral_sample(labels, **LONG)
    known = [level[:, : 160 // hop] for level, hop in zip(whole, HOPS, strict=True)]
    assert same(model.continue_sample(known, labels, **LONG), whole)


def test_of_less_than_a_window_as_much_is_added_to_a_prompt_as_was_asked_for(model, labels, greedy):
    longer = model.continue_sample([level[:, :8] for level in greedy], labels, **GREEDY)
    assert lengths(longer) == [(1, 28), (1, 40), (1, 80)]


def test_upsampling_keeps_the_top_level_and_writes_all_below_it(model, labels, greedy):
    empty = torch.zeros(1, 0, dtype=torch.long)
    assert same(model.upsample([greedy[0], empty, empty], labels, **GREEDY), greedy)


def test_temperature_is_that_of_the_top_level(model, labels):
    def drawn(temperature):
        return model.ancestral_sample(labels, sample_length=LENGTH, sampling_temperature=temperature, generator=seeded())

    cold = drawn(1e-3)
    assert torch.equal(cold[0], model.ancestral_sample(labels, **GREEDY)[0])
    assert not torch.equal(cold[2], model.ancestral_sample(labels, **GREEDY)[2])


def test_where_the_part_lies_in_the_song_is_heard_at_the_top(model, labels, greedy):
    elsewhere = model.ancestral_sample(labels, **GREEDY, total_length=9 * RATE, offset=7 * RATE)
    assert not torch.equal(elsewhere[0], greedy[0])


def test_each_sample_may_have_a_song_of_its_own(model, labels, greedy):
    other = small_tokenizer()("harp", "waltz", "hey ho, hey ho, hey ho")["input_ids"]
    rows = [[one, another] for one, another in zip(labels, other, strict=True)]
    codes = model.ancestral_sample(rows, 2, **GREEDY)
    assert same([level[:1] for level in codes], greedy)
    assert same([level[1:] for level in codes], model.ancestral_sample(other, **GREEDY))


def test_a_model_without_labels_needs_none_but_their_places():
    model = small_model(lyrics=False, labels=False)
    rows = [torch.zeros(1, 5, dtype=torch.long)] * 3
    assert lengths(model.ancestral_sample(rows, **GREEDY)) == [(1, length) for length in LENGTHS]


def test_codes_of_any_order_become_sound_of_the_finest(model, greedy):
    sound = model.decode(greedy)
    assert sound.shape == (1, LENGTH, 1)
    assert torch.equal(model.decode(greedy[::-1]), sound)
    assert torch.equal(model.vqvae.decode(greedy[::-1]), sound)
    coarse = model.decode(greedy[:1], start_level=2)
    assert coarse.shape == (1, LENGTH, 1)


def test_attention_to_lyrics_is_as_long_as_codes_and_lyrics(model, labels, greedy):
    (found,) = model.align(greedy, labels)
    assert found.shape == (LENGTHS[0], len("la la la"))
    assert 0 < found.max() <= 1
    silent = small_model(lyrics=False)
    with pytest.raises(ValueError, match="this model hears none"):
        silent.align(greedy, labels)
    with pytest.raises(ValueError, match="this model hears none"):
        silent.ancestral_sample(labels, **GREEDY, compute_alignments=True)


def test_results_are_written_where_asked(model, labels, greedy, tmp_path):
    codes = model.ancestral_sample(labels, **GREEDY, save_results=tmp_path, compute_alignments=True, metas={"by": "Ada"})
    assert same(codes, greedy)
    for level, expected in enumerate(codes):
        folder = tmp_path / f"level_{level}"
        assert torch.equal(load_file(folder / "codes.safetensors")["codes"], expected)
        sound, rate = soundfile.read(folder / "sample_0.wav")
        assert (len(sound), rate) == (LENGTH, RATE)
        assert json.loads((folder / "metas.json").read_text()) == {"by": "Ada"}
    alignment = load_file(tmp_path / "level_0/alignments.safetensors")["sample_0"]
    assert torch.equal(alignment, model.align(codes, labels)[0])
    assert not (tmp_path / "level_1/alignments.safetensors").exists()


def test_nothing_is_written_unless_asked(model, labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.ancestral_sample(labels, **GREEDY)
    assert not list(tmp_path.iterdir())
    model.ancestral_sample(labels, **GREEDY, save_results=True)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("jukebox_")


# ---- What cannot be sampled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_length": 15}, "length must be at least 16 samples, a code of the top level"),
        (
            {"sample_length": 208},
            "Level 1 cannot be sampled: 26 codes are fewer than its window of 32, which is 0.26 seconds",
        ),
        ({"total_length": 320, "offset": 320}, "offset is from 0 to less than the total length of 320 samples, got 320"),
        ({"total_length": 100}, "total length in samples must be within 200 and 10000, got 100"),
        ({"total_length": 9_999, "offset": 9_800}, "position in samples must be within 0 and 10000, got 9800 to 10312"),
        ({"sampling_temperature": 0.0}, "temp must be above 0 and finite"),
        ({"top_k": 3, "top_p": 0.5}, "Give top_k or top_p, not both"),
        ({"generator": [torch.Generator()]}, "one generator for each of 2 rows, got 1"),
    ],
)
def test_numbers_that_do_not_fit_the_model_are_refused(model, labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.ancestral_sample(labels, 2, **{"sample_length": LENGTH} | arguments)


def test_labels_that_do_not_fit_are_refused(model, labels):
    for rows, message in (
        (labels[:2], "labels must have rows for each of 3 levels, got those of 2"),
        ([[row] * 3 for row in labels], "one row for each level, or one for each of 2 samples, got 3"),
        ([row.float() for row in labels], "Labels are whole numbers"),
        ([row[:, :3] for row in labels], "Labels have 3 times and an artist"),
    ):
        with pytest.raises(ValueError, match=message):
            model.ancestral_sample(rows, 2, **GREEDY)


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (
            torch.zeros(1, 15, 1),
            r"raw_audio must be floating point of shape \(batch, at least 16 samples, 1\), got .* \(1, 15, 1\)",
        ),
        (torch.zeros(1, 160), r"got torch.float32 of shape \(1, 160\)"),
        (torch.zeros(1, 160, 2), r"of shape \(1, 160, 2\)"),
        (
            torch.zeros(1, 160, 1, dtype=torch.int16),
            "got torch.int16 .*; JukeboxFeatureExtractor makes it of sound of any kind",
        ),
        (torch.full((1, 160, 1), float("nan")), "Audio must be finite"),
    ],
)
def test_sound_that_cannot_be_gone_on_from_is_refused(model, labels, sound, message):
    with pytest.raises(ValueError, match=message):
        model.primed_sample(sound, labels, **GREEDY)


def test_codes_that_cannot_be_gone_on_from_are_refused(model, labels, greedy):
    for codes, message in (
        (greedy[:2], r"\(samples, codes\) for each of 3 levels, got \[\(1, 20\), \(1, 40\)\]"),
        ([greedy[0].expand(2, -1), *greedy[1:]], "for each of 3 levels"),
        ([greedy[0] + CODES, *greedy[1:]], "Codes of level 0 must be whole numbers from 0 to 31"),
        ([greedy[0].float(), *greedy[1:]], "Codes of level 0 must be whole numbers .* got torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            model.continue_sample(codes, labels, **GREEDY)
    empty = torch.zeros(1, 0, dtype=torch.long)
    with pytest.raises(ValueError, match="Level 1 needs 16 codes of the level above it here; there are 10"):
        model.upsample([greedy[0][:, :10], empty, empty], labels, **GREEDY)


def test_windows_that_begin_between_codes_of_the_level_above_are_refused(labels):
    model = make()
    model.config.vqvae_config.hop_fraction = [0.125, 0.1, 0.5]
    with pytest.raises(ValueError, match="Windows must start at multiples of 2 codes at level 1, got 3"):
        model.ancestral_sample(labels, **GREEDY)
    model.config.vqvae_config.hop_fraction = [0.01, 0.5, 0.5]
    with pytest.raises(ValueError, match="Windows must move by at least one code, got 0: make hop_fraction larger"):
        model.ancestral_sample(labels, **LONG)


# ---- Files


def test_saved_and_loaded_it_samples_the_same(model, labels, greedy, tmp_path):
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)
    for loaded in (JukeboxModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is JukeboxModel
        assert same(loaded.eval().ancestral_sample(labels, **GREEDY), greedy)


def test_its_tensors_have_the_names_of_transformers_4(tmp_path):
    small_model().save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {
        "vqvae.encoders.0.level_blocks.0.downsample_block.0.weight",
        "vqvae.bottleneck.level_blocks.0.codebook",
        "priors.0.prior.embed_tokens.weight",
        "priors.0.encoder.lm_head.weight",
        "priors.0.metadata_embedding.artist_emb.weight",
        "priors.1.conditioner_blocks.upsampler.proj_in.weight",
        "priors.2.prior.transformer._attn_mods.0.attn.c_attn.weight",
    } <= names
    assert not any(name.endswith(("fc_proj_out.weight", "code_sums", "code_counts")) for name in names)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_half_as_large_and_sample(model, labels, dtype, tmp_path):
    make().to(dtype).save_pretrained(tmp_path)
    assert JukeboxModel.from_pretrained(tmp_path).dtype == torch.float32
    half = JukeboxModel.from_pretrained(tmp_path, dtype=dtype).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    codes = half.ancestral_sample(labels, **GREEDY)
    assert lengths(codes) == [(1, length) for length in LENGTHS]
    assert half.decode(codes).isfinite().all()


def test_a_model_may_have_its_upper_priors_alone(labels):
    config = small_config()
    config.prior_config_list = config.prior_config_list[:1]
    config.nb_priors = 1
    codes = JukeboxModel(config).eval().ancestral_sample(labels, **GREEDY)
    assert lengths(codes) == [(1, LENGTHS[0])]
