"""The smallest real HAPI server, a Maven project of our own, and tests that drive it by REST alone."""
