"""The layers together, on real servers."""
