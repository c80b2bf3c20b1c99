"""What Dagster is told, and what it does with it."""
