"""Figures for leader election on real servers: `python -m benchmarks --help`. What they mean: docs/benchmarks.md."""
