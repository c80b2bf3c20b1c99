"""Bugs that systems of this kind have had, each as a test."""
