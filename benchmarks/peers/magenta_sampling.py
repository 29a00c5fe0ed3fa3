"""Times sampling by the original MusicVAE; run by benchmarks/music_vae_sampling.py and music_vae_trio_sampling.py in the
peer's environment.

The original decoder with random weights, in a graph of its own as its `TrainedModel` builds it (placeholders for z and
the temperature, no dropout). Building the graph and the first run are not timed. One JSON object on stdout.
"""

import argparse
import json
import time

import numpy as np
import tensorflow.compat.v1 as tf
from magenta.models.music_vae.configs import CONFIG_MAP


def main() -> None:
    parser = argparse.ArgumentParser(description="Times sampling by the original MusicVAE.")
    for name in ("threads", "repeats", "batch-size", "length", "hidden-size", "num-layers", "latent-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--config", default="cat-mel_2bar_big")
    parser.add_argument("--segments", type=int, default=None, help="of a hierarchical decoder")
    parser.add_argument("--temperature", type=float, required=True)
    arguments = parser.parse_args()

    tf.disable_v2_behavior()
    tf.logging.set_verbosity(tf.logging.ERROR)
    config = CONFIG_MAP[arguments.config]
    config.hparams.dec_rnn_size = [arguments.hidden_size] * arguments.num_layers
    config.hparams.z_size = arguments.latent_size
    config.hparams.batch_size = arguments.batch_size
    config.hparams.max_seq_len = arguments.length
    if arguments.segments:
        config.model.decoder._level_lengths = [arguments.segments, arguments.length // arguments.segments]
    with tf.Graph().as_default():
        model = config.model
        model.build(config.hparams, config.data_converter.output_depth, is_training=False)
        temperature = tf.placeholder(tf.float32, shape=())
        latents = tf.placeholder(tf.float32, shape=[arguments.batch_size, arguments.latent_size])
        length = tf.placeholder(tf.int32, shape=())
        samples, _ = model.sample(arguments.batch_size, max_length=length, z=latents, temperature=temperature)
        session = tf.Session(
            config=tf.ConfigProto(
                intra_op_parallelism_threads=arguments.threads, inter_op_parallelism_threads=arguments.threads
            )
        )
        session.run(tf.global_variables_initializer())
        values = np.random.RandomState(0).randn(arguments.batch_size, arguments.latent_size)
        feed = {latents: values, temperature: arguments.temperature, length: arguments.length}
        seconds = []
        for repeat in range(-1, arguments.repeats):
            start = time.perf_counter()
            result = session.run(samples, feed)
            if repeat >= 0:
                seconds.append(time.perf_counter() - start)
    if result.shape[:2] != (arguments.batch_size, arguments.length):
        raise RuntimeError(f"The original gave samples of shape {result.shape}.")
    print(json.dumps({"seconds": seconds, "tensorflow": tf.__version__}))


if __name__ == "__main__":
    main()
