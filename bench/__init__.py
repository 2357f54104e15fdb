"""Benchmarks: `python -m bench [NAME ...] [--quick]`. What each figure means and what bounds it: BENCHMARKS.md."""
