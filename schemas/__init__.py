"""Contracts: pydantic configs, on-disk annotations, values in flight, table columns. Imports nothing of ours."""
