"""Looking at a dataset. Imports neither Beam nor torch."""
