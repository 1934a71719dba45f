"""Parts of `scripts/studies/benchmark.py`; see there."""
