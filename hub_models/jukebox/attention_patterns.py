"""Which layer attends to what: the original's `attn_order` by number and by name."""

DENSE, ROW, COLUMN, PREVIOUS = "dense_attn", "block_attn", "transpose_block_attn", "prev_block_attn"
SUMMARY, SUMMARY_SPREAD = "summary_attn", "summary_spread_attn"
CROSS, PRIME = "cross_attention", "prime_attn"

_FACTORISED = (ROW, COLUMN, PREVIOUS)
_THRICE = _FACTORISED * 3
#: Attention of the layers, repeated as long as there are layers: `attn_order` of the original by number.
_CYCLES: dict[int, tuple[str, ...]] = {
    0: (DENSE,),
    1: (ROW, COLUMN),
    2: _FACTORISED,
    3: (ROW, SUMMARY),
    4: (ROW, SUMMARY_SPREAD),
    5: (ROW, SUMMARY, ROW, ROW),
    6: (*_FACTORISED, CROSS),
    7: (*_FACTORISED * 5, CROSS),
    8: (*_THRICE, CROSS),
    9: (*_FACTORISED, DENSE),
    10: (*_THRICE, *(*_THRICE, CROSS) * 7),
}
#: In orders 11 and 12 every 16th layer is another one: which, by the layer's number modulo 3.
_SIXTEENTH_LAYERS = {11: (CROSS, CROSS, DENSE), 12: (PRIME, PRIME, DENSE)}

#: Names of `attention_pattern` and the original's `attn_order`. Four have names of transformers 4.
ATTENTION_PATTERNS: dict[str, int] = {
    "full_dense_attention": 0,
    "row_column_attention": 1,
    "raw_column_previous_row_attention": 2,
    "row_summary_attention": 3,
    "row_summary_spread_attention": 4,
    "sparse_summary_attention": 5,
    "enc_dec_every_4_layers": 6,
    "enc_dec_every_16_layers": 7,
    "enc_dec_every_10_layers": 8,
    "factorised_and_dense_attention": 9,
    "large_separated_enc_dec_w_lyrics": 10,
    "separated_enc_dec_with_dense_attention": 11,
    "enc_dec_with_lyrics": 12,
}


def attention_of_layer(order: int, layer: int) -> str:
    """What layer number `layer` attends to in the original's `attn_order` `order`."""
    if order in _SIXTEENTH_LAYERS:
        return _SIXTEENTH_LAYERS[order][layer % 3] if layer % 16 == 15 else _FACTORISED[layer % 3]
    cycle = _CYCLES[order]
    return cycle[layer % len(cycle)]
