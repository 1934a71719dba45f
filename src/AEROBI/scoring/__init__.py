"""Metrics, their intervals and thresholds; numpy only."""
