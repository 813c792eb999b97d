"""Streaming benchmarks: `python -m tests.benchmarks.streaming` and `python -m tests.benchmarks.streaming.codecs`."""
