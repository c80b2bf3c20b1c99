"""Tests of what a developer's machine needs: embedded servers, processes, `lambda-pipeline dev`."""
