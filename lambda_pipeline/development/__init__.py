"""What a developer's machine needs: embedded servers, and `lambda-pipeline dev`, which runs everything in one terminal.

Nothing in here runs in production: a deployment with configured URLs never imports it.
"""
