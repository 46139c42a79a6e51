"""Makes fixtures/quant_blocks/*.bin: a few random blocks of every quantised type, then the f32 values that the reference
package (pip install gguf) dequantises them to.

A file is `count` blocks followed by `count` times as many little-endian f32 as a block has values.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

OUT = Path(__file__).parent / "fixtures" / "quant_blocks"
# The byte offsets of the f16 fields of a block, which random bits would fill with NaN and infinities.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}

rng = np.random.default_rng(20)
OUT.mkdir(parents=True, exist_ok=True)
for name, halves in HALVES.items():
    kind = GGMLQuantizationType[name]
    values, size = GGML_QUANT_SIZES[kind]
    count = 2 if values == 256 else 4
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = rng.normal(0, 0.05, (count, 1)).astype("<f2").view(np.uint8)
    floats = np.concatenate([dequantize(block[None], kind).ravel() for block in blocks])
    assert floats.shape == (count * values,) and np.isfinite(floats).all()
    (OUT / f"{name.lower()}.bin").write_bytes(blocks.tobytes() + floats.astype("<f4").tobytes())
