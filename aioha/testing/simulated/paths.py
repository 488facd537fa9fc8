"""Which paths ZooKeeper's servers take, and which they refuse as BADARGUMENTS."""

from .codes import Error, Refusal

__all__ = ["check_path", "is_special", "parent_for_create"]


def parent_for_create(path: str) -> str:
    """Looked at before anything else: there is a slash, and no null character."""
    if "/" not in path or "\0" in path:
        raise Refusal(Error.BAD_ARGUMENTS)
    return path.rpartition("/")[0]


def is_special(path: str) -> bool:
    """The servers' own, which nobody may delete."""
    return path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")


def check_path(path: str) -> None:
    """Raises BADARGUMENTS."""
    if path == "/":
        return
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]) or any(map(_is_odd, path)):
        raise Refusal(Error.BAD_ARGUMENTS)


def _is_odd(character: str) -> bool:
    code = ord(character)
    return code <= 0x1F or 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xF8FF or 0xFFF0 <= code <= 0xFFFF
