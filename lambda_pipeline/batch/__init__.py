"""The batch layer: generations of views in PostgreSQL, built in full or refreshed, and published at once."""
