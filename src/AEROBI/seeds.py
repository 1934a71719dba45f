"""Seeds as a pure function of the run's seed, a purpose and counters."""

import zlib

import numpy as np


def seed_sequence(seed: int, purpose: str, *counters: int) -> np.random.SeedSequence:
    """Independent for every purpose and every value of the counters."""
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])


def seed_pair(seed: int, purpose: str, *counters: int) -> np.ndarray:
    """int32 [2], what TensorFlow's stateless random ops take."""
    state = seed_sequence(seed, purpose, *counters).generate_state(2, np.uint32)
    return (state >> 1).astype(np.int32)
