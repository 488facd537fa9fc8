"""What somebody does by hand to sessions and nodes, and what is promised then: see each."""

from typing import TYPE_CHECKING

from aioha.testing.simulated.acl import OPEN
from aioha.testing.simulated.acl import Entry as AclEntry
from aioha.testing.simulated.codes import Perm

from ..candidate import Candidate
from ..operator import Unserved
from ..scene import PATH
from ..schedule import Entry
from .whom import PARENT, RECORD, Later, NotNow, Undo, chance_of, the_candidate

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = [
    "acl",
    "alone",
    "delete_node",
    "delete_parent",
    "delete_place",
    "expire",
    "late_close",
    "reopen",
    "rubbish_ended",
    "rubbish_record",
    "stranger",
    "taken_over",
]

LOOKS, COMES_BACK, TOO_LATE = 0.0005, 0.2, 0.002  # seconds
READ_ONLY = (AclEntry(Perm.READ | Perm.ADMIN, "world", "anyone"),)
RUBBISH = (b"rubbish", b'{"number": -1}', b"[]", b"\xff\xfe", b'{"number": "7"}')


def _session(stage: "Stage", entry: Entry) -> Candidate:
    """Whose session is to be ended by hand. Its owner must be able to hear of it, or nothing is promised."""
    candidate = the_candidate(stage, entry.target)
    if not candidate.server or not candidate.session_id:
        raise NotNow
    alone(stage, candidate)
    stage.truth.by_hand.add(candidate.session_id)
    return candidate


def alone(stage: "Stage", candidate: Candidate | None) -> None:
    if stage.no_removals or stage.scene.is_rough:
        raise NotNow
    if not stage.is_quiet:
        raise Later
    if candidate is not None:
        stage.leave_alone(candidate)


def expire(stage: "Stage", entry: Entry) -> Undo:
    stage.ensemble.expire_session(_session(stage, entry).session_id)
    return None


def stranger(stage: "Stage", entry: Entry) -> Undo:
    stage.operator.close(_session(stage, entry).session_id)
    return None


def late_close(stage: "Stage", entry: Entry) -> Undo:
    """A stranger has attached to the session through the same server, and closes it just when its owner has come back: a
    server carries that out on another thread, and then leaves the owner's connection open (ZooKeeper 3.8.0: measured).
    """
    candidate, chance = _session(stage, entry), chance_of(entry)
    server = next((each for each in stage.ensemble.servers if each.name == candidate.server), None)
    front = server.front if server is not None and server.alive else None
    if front is None:
        raise NotNow
    session, looks = candidate.session_id, int(COMES_BACK / LOOKS)

    def look(left: int = looks) -> None:
        if front.is_attached(session):
            stage.later(chance.uniform(0.0, TOO_LATE), close)
        elif left:
            stage.later(LOOKS, lambda: look(left - 1))
        else:
            close()

    def close() -> None:
        if server is not None and server.front is front:
            front.close_late(session)

    front.dismiss(session)
    look()
    return None


def taken_over(stage: "Stage", entry: Entry) -> Undo:
    candidate = the_candidate(stage, entry.target)
    stage.operator.take(candidate.session_id, stage.scene.timeout)
    return None


def delete_node(stage: "Stage", entry: Entry) -> Undo:
    if stage.no_removals or not stage.truth.node:
        raise NotNow
    owner = stage.truth.owning(stage.truth.owner)
    if stage.is_queue:  # it must hear of it, as the next one waits for its `stop_grace` only
        alone(stage, owner)
    elif owner is not None:  # its seat protects it, as long as all others look at the record
        stage.leave_alone(owner)
    stage.operator.delete(stage.truth.node)
    return None


def delete_parent(stage: "Stage", entry: Entry) -> Undo:
    """With it goes the record, and so the seat, the wait, and how far tokens were lifted."""
    leading = stage.truth.owning(stage.truth.owner)
    if leading is not None and leading.working and (leading.takes_its_time or not leading.server):
        raise NotNow  # it must hear of it at once, as whoever comes next waits for nobody
    if stage.is_queue:
        raise NotNow  # who leads on an event, and has not heard that its own node is gone too, begins beside who joins anew
    alone(stage, leading)
    _rubbish(stage, "parent")
    below = [path for path, _ in stage.operator.tree.walk() if path.startswith((f"{PATH}/", f"{RECORD}/"))]
    stage.operator.delete(*sorted(below, key=len, reverse=True), PATH, RECORD, PARENT)
    return None


def delete_place(stage: "Stage", entry: Entry) -> Undo:
    """Of a standby in line: it joins again, and nobody behind it is held up."""
    line = sorted(path for path, _ in stage.operator.tree.walk() if path.startswith(f"{RECORD}/line/"))
    if not line:
        raise NotNow
    stage.operator.delete(chance_of(entry).choice(line))
    return None


def rubbish_record(stage: "Stage", entry: Entry) -> Undo:
    _rubbish(stage, "record")
    stage.operator.set(RECORD, chance_of(entry).choice(RUBBISH))
    return None


def _rubbish(stage: "Stage", what: str) -> None:
    if stage.rubbished not in ("", what):
        raise NotNow
    stage.rubbished = what


def rubbish_ended(stage: "Stage", entry: Entry) -> Undo:
    _rubbish(stage, "ended")
    stage.operator.set(f"{RECORD}/ended", chance_of(entry).choice((b"rubbish", b"", b"-1", b"\xff")))
    return None


def acl(stage: "Stage", entry: Entry) -> Undo:
    path = PARENT if entry.target == "parent" else RECORD
    stage.no_removals = True
    stage.operator.set_acl(path, READ_ONLY)
    return lambda: stage.operator.set_acl(path, OPEN)


def reopen(stage: "Stage") -> bool:
    """Whether some node is still closed, as far as the ensemble's leader knows; asks for it again."""
    try:
        closed = [path for path in (PARENT, RECORD) if (node := stage.operator.tree.get(path)) and node.acl != OPEN]
        for path in closed:
            stage.operator.set_acl(path, OPEN)
    except Unserved:
        return True
    return bool(closed)
