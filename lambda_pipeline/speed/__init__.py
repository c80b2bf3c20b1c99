"""The speed layer: the changes since the published generation, flattened, in Redis."""
