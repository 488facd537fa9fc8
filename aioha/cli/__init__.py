"""The command line: a face of the library, like the decorator. `app` holds the surface, each other file one concern."""
