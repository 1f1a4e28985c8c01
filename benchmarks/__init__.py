"""Measurements, one question per file: `python -m benchmarks.throughput` prints one line of JSON."""
