"""The Magma network, its processor and its checkpoints."""
