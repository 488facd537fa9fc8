"""The `aioha` command. What it needs beyond the library (typer) is an extra, so its absence is said in one line."""

import sys

__all__ = ["main"]

COMMAND_LINE_PACKAGES = ("typer", "rich", "click")


def main() -> None:
    """Entry point of `aioha` and of `python -m aioha`."""
    try:  # around the imports as well: Ctrl-C while they load must not print a traceback
        sys.exit(_main())
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> int:
    try:
        from .cli.app import entry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in COMMAND_LINE_PACKAGES:
            raise
        sys.stderr.write(f"aioha: the command line needs {error.name}; pip install 'aioha[cli]', in its source '.[cli]'\n")
        return 64
    return entry(sys.argv[1:])


if __name__ == "__main__":
    main()
