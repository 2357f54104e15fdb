"""Training, prediction and evaluation of Magma from curated datasets."""
