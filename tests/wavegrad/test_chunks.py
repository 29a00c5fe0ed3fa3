"""Audio made in chunks, or streamed, is the audio made whole; what the network sees at a time does not grow."""

import itertools

import numpy as np
import pytest
import torch

from hub_models.wavegrad import pipeline_wavegrad

from .tiny_pipelines import BANDS, SAMPLE_RATE, seeded, tiny_mel, tiny_pipeline, tone

HOP = 300
CONTEXT = 4


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def assert_same(audio: np.ndarray, expected: np.ndarray):
    """Within 1e-4 of the loudest sample."""
    assert audio.shape == expected.shape
    np.testing.assert_allclose(audio, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def streamed(pipeline, **arguments) -> np.ndarray:
    return np.concatenate(list(pipeline.stream(**arguments)), axis=1)


@pytest.fixture
def seen_frames(pipeline):
    """Frames of every mel that the network is given from here on."""
    frames = []
    handle = pipeline.model.register_forward_pre_hook(lambda _module, inputs: frames.append(inputs[2].shape[2]))
    yield frames
    handle.remove()


def test_the_context_is_the_published_networks(pipeline):
    assert (pipeline.model.hop_length, pipeline.model.context_frames) == (HOP, CONTEXT)


# 3 is less than the context, 10 has a last chunk of one frame, 41 is the whole, 50 is more.
@pytest.mark.parametrize("chunk_frames", [1, 3, 10, 40, 41, 50])
def test_chunks_make_the_whole(pipeline, chunk_frames):
    mel = tiny_mel(41)
    whole = pipeline(mel=mel, generator=seeded(1), chunk_frames=41).audios
    assert_same(pipeline(mel=mel, generator=seeded(1), chunk_frames=chunk_frames).audios, whole)


@pytest.mark.parametrize("chunk_frames", [1, 3, 10, 40, 41, 50])
def test_a_stream_makes_the_whole(pipeline, chunk_frames):
    mel = tiny_mel(41)
    whole = pipeline(mel=mel, generator=seeded(1)).audios
    assert_same(streamed(pipeline, mel=mel, generator=seeded(1), chunk_frames=chunk_frames), whole)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("chunk_frames", [1, 2, 7])
def test_short_audio_streams_too(pipeline, frames, chunk_frames):
    mel = tiny_mel(frames)
    whole = pipeline(mel=mel, generator=seeded(1)).audios
    assert whole.shape == (1, frames * HOP)
    assert_same(streamed(pipeline, mel=mel, generator=seeded(1), chunk_frames=chunk_frames), whole)


@pytest.mark.parametrize("overrides", [{"downsample_type": "strided"}, {"layers_per_block": 2}], ids=["strided", "doubled"])
def test_the_papers_networks_chunk_and_stream(overrides):
    pipeline, mel = tiny_pipeline(**overrides), tiny_mel(33)
    for parameter in pipeline.model.parameters():
        parameter.data *= 0.7  # untrained and twice as deep, it would amplify the last digits of float32 too
    whole = pipeline(mel=mel, generator=seeded(1)).audios
    assert_same(pipeline(mel=mel, generator=seeded(1), chunk_frames=5).audios, whole)
    assert_same(streamed(pipeline, mel=mel, generator=seeded(1), chunk_frames=5), whole)


def test_less_context_would_be_heard(pipeline, monkeypatch):
    mel = tiny_mel(41)
    whole = pipeline(mel=mel, generator=seeded(1)).audios
    monkeypatch.setattr(type(pipeline.model), "context_frames", CONTEXT - 2)
    chunked = pipeline(mel=mel, generator=seeded(1), chunk_frames=10).audios
    assert np.abs(chunked - whole).max() > 1e-3 * np.abs(whole).max()


def test_given_noise_is_cut_into_chunks_alike(pipeline):
    mel, generator = tiny_mel(20, batch_size=2), seeded(0)
    latents = torch.randn(2, 20 * HOP, generator=generator)
    noise = {"latents": latents, "variance_noise": torch.randn(2, 2, 20 * HOP, generator=generator)}
    assert_same(pipeline(mel=mel, chunk_frames=6, **noise).audios, pipeline(mel=mel, **noise).audios)


def test_a_batch_streams_as_its_items_alone(pipeline):
    mel = tiny_mel(23, batch_size=2)
    batch = streamed(pipeline, mel=mel, generator=seeded(5, 6), chunk_frames=8)
    for item, seed in enumerate((5, 6)):
        alone = pipeline(mel=mel[item], generator=seeded(seed)).audios
        assert_same(batch[item : item + 1], alone)


@pytest.mark.parametrize("pieces", [[1] * 30, [7, 1, 22], [29, 1]], ids=str)
def test_mel_can_come_piece_by_piece(pipeline, pieces):
    mel = tiny_mel(30)
    whole = pipeline(mel=mel, generator=seeded(1)).audios
    arriving = iter(torch.split(mel[0], pieces, dim=1))
    assert_same(streamed(pipeline, mel=arriving, generator=seeded(1), chunk_frames=4), whole)


def test_sound_comes_before_the_mel_is_complete(pipeline):
    taken = itertools.count()
    endless = (tiny_mel(4, seed=next(taken)) for _ in itertools.count())
    stream = pipeline.stream(mel=endless, num_inference_steps=2, chunk_frames=4)
    assert next(stream).shape == (1, 4 * HOP)
    # the chunk itself, and two steps' context
    assert next(taken) == 3


def test_a_mel_without_pieces_gives_no_sound(pipeline):
    assert list(pipeline.stream(mel=iter([]))) == []


def test_the_steps_number_and_the_length_do_not_change_what_the_network_sees(pipeline, seen_frames):
    for frames, steps in ((50, 2), (150, 2), (50, 6)):
        for _ in pipeline.stream(mel=tiny_mel(frames), num_inference_steps=steps, chunk_frames=10):
            pass
        pipeline(mel=tiny_mel(frames), num_inference_steps=steps, chunk_frames=10)
    assert max(seen_frames) == 10 + 2 * CONTEXT


def test_long_audio_is_chunked_without_being_asked(pipeline, seen_frames):
    pipeline(mel=tiny_mel(pipeline_wavegrad.MAX_WHOLE_FRAMES_CPU + 128), num_inference_steps=2)
    assert max(seen_frames) == pipeline_wavegrad.CHUNK_FRAMES + 2 * CONTEXT


def test_what_is_remembered_of_the_mel_is_bounded(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline_wavegrad, "MAX_WHOLE_FRAMES", 20)
    calls, encode = [], pipeline.model.encode_mel
    monkeypatch.setattr(pipeline.model, "encode_mel", lambda mel: calls.append(mel.shape[2]) or encode(mel))
    remembered = pipeline(mel=tiny_mel(20), generator=seeded(1), chunk_frames=10).audios
    assert calls == [14, 14]
    pipeline(mel=tiny_mel(21), chunk_frames=10)
    assert len(calls) == 2
    monkeypatch.setattr(pipeline_wavegrad, "MAX_WHOLE_FRAMES", 0)
    assert_same(pipeline(mel=tiny_mel(20), generator=seeded(1), chunk_frames=10).audios, remembered)


def test_three_hours_of_audio_stream(pipeline, seen_frames):
    samples = 3 * 3600 * SAMPLE_RATE
    # No memory of its own, as a memory-mapped file.
    audio = np.broadcast_to(np.float32(0.25), samples)
    stream = pipeline.stream(audio=audio, sampling_rate=SAMPLE_RATE, chunk_frames=16)
    pieces = [next(stream).shape for _ in range(5)]
    assert pieces == [(1, 4 * HOP), *[(1, 16 * HOP)] * 4]
    assert max(seen_frames) == 16 + 2 * CONTEXT


@pytest.mark.parametrize("samples", [513, 2048, 2100, 5999, 6000, 6001])
def test_streamed_audio_is_as_long_as_what_it_is_made_from(pipeline, samples):
    arguments = {"audio": tone(samples), "sampling_rate": SAMPLE_RATE}
    whole = pipeline(**arguments, generator=seeded(1)).audios
    assert whole.shape == (1, samples)
    for chunk_frames in (1, 3, 16):
        assert_same(streamed(pipeline, **arguments, generator=seeded(1), chunk_frames=chunk_frames), whole)


def test_the_mel_of_a_stream_is_the_feature_extractors(pipeline):
    audio = tone(7777) + 0.1 * np.random.default_rng(0).standard_normal(7777).astype(np.float32)
    expected = pipeline.feature_extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    assert expected.shape == (1, BANDS, 26)
    for chunk_frames in (1, 5, 25, 26, 100):
        mel = torch.cat(list(pipeline._mel_of_audio(audio[None], chunk_frames)), dim=2)
        torch.testing.assert_close(mel, expected, rtol=0, atol=1e-4)


def test_the_pipeline_is_free_while_a_stream_is_read(pipeline):
    mel = tiny_mel(30)
    whole = pipeline(mel=mel, generator=seeded(1), num_inference_steps=3).audios
    stream = pipeline.stream(mel=mel, generator=seeded(1), num_inference_steps=3, chunk_frames=5)
    pieces = [next(stream)]
    pipeline(mel=tiny_mel(3), num_inference_steps=2)
    assert_same(np.concatenate([*pieces, *stream], axis=1), whole)


def test_gradients_are_not_kept(pipeline):
    assert torch.is_grad_enabled()
    piece = next(pipeline.stream(mel=tiny_mel(30), chunk_frames=10, output_type="pt"))
    assert isinstance(piece, torch.Tensor)
    assert not piece.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("chunk_frames", [0, -1, 2.5, "all"])
def test_chunks_that_are_not_possible(pipeline, chunk_frames):
    for make in (pipeline, pipeline.stream):
        with pytest.raises(ValueError, match=r"chunk_frames is .*; whole numbers from 1"):
            make(mel=tiny_mel(3), chunk_frames=chunk_frames)


def test_a_stream_says_what_is_wrong_at_once(pipeline):
    with pytest.raises(ValueError, match="8 bands"):
        pipeline.stream(mel=torch.zeros(3, 10))
    with pytest.raises(ValueError, match="8000 Hz"):
        pipeline.stream(audio=tone(4000), sampling_rate=44_100)
    with pytest.raises(ValueError, match="100000"):
        pipeline.stream(mel=tiny_mel(3), num_inference_steps=100_000)


def test_a_stream_says_what_is_wrong_when_it_comes_to_it(pipeline):
    stream = pipeline.stream(mel=iter([tiny_mel(20), -60 * tiny_mel(20)]), chunk_frames=5)
    with pytest.raises(ValueError, match=r"values from -5.* to .*reads 0 to 1"):
        list(stream)
    with pytest.raises(ValueError, match="batch of 2"):
        list(pipeline.stream(mel=iter([tiny_mel(3), tiny_mel(3, batch_size=2)]), chunk_frames=5))
