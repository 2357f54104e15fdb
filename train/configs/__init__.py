"""The ready-made configs of a training, as package data."""
