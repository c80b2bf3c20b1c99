"""What tests of several folders share: servers, a small hospital, worlds. Fixtures stand in the conftest files."""
