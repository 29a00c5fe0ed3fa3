"""The parts of `hub_models.compose`, one concern each; see `hub_models.composition`, which puts them together.

`settings` is what a piece is made of, `making` the order of the work, `moods` where the chords come from, `melody` and
`players` what the models play, `mixing` how it is put together, `sound_models` what comes after, `measures` what can be
said of it in numbers. `harmony`, `fitting`, `parts` and `reading` are what these have in common; `band_bars` and
`piano_pieces` are the styles that come with Encore.
"""
