"""Documentation that can be wrong is tested."""
