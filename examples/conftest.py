"""All that tests with aioha's kit need."""

pytest_plugins = ["aioha.testing.fixtures"]
