"""Parts of `scripts/benchmark.py`; see there."""
