"""The `aioha` command. What it needs beyond the library (typer) is an extra, so its absence is said in one line."""

import os
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
    _open_standard_files()
    try:
        from .cli.app import entry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in COMMAND_LINE_PACKAGES:
            raise
        sys.stderr.write(f"aioha: the command line needs {error.name}; pip install 'aioha[cli]', in its source '.[cli]'\n")
        return 64
    return entry(sys.argv[1:])


def _open_standard_files() -> None:
    """Where one of them is closed, the next file or socket opened would have its number, and our log be written to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


if __name__ == "__main__":
    main()
