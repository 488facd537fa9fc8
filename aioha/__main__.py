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
    """Those that are closed are /dev/null from now on. Else the next file or socket opened would have the number of one of
    them, and our log be written to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for as long as we live


if __name__ == "__main__":
    main()
