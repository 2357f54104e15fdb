"""Contracts: pydantic configs and on-disk annotations, frozen values in flight, table columns. Imports nothing of ours."""
