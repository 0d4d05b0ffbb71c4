"""The face for tests: a pytest plugin that runs a stack for a test, a module or a session."""
