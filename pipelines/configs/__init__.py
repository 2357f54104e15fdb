"""The ready-made configs and the built-in question templates, as package data."""
