"""Numbers of ZooKeeper's protocol: operations, errors, events, permissions; and a refusal, which carries an error's."""

__all__ = ["EXPIRY", "Error", "Event", "Flag", "Op", "Perm", "Refusal"]


EXPIRY = 0  # xid of a close that nobody has asked for


class Op:
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET = 4
    SET = 5
    GET_ACL = 6
    SET_ACL = 7
    CHILDREN = 8
    SYNC = 9
    PING = 11
    CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    AUTH = 100
    SET_WATCHES = 101
    CREATE_SESSION = -10
    CLOSE = -11
    ERROR = -1  # in the place of an operation that failed

    WRITES = frozenset({CREATE, CREATE2, DELETE, SET, SET_ACL, CHECK, MULTI, CLOSE, CREATE_SESSION})
    READS = frozenset({EXISTS, GET, GET_ACL, CHILDREN, CHILDREN2, PING, SET_WATCHES})
    KNOWN = WRITES - {CREATE_SESSION} | READS | {SYNC}


class Error:
    OK = 0
    RUNTIME_INCONSISTENCY = -2
    MARSHALLING = -5
    UNIMPLEMENTED = -6
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118
    UNKNOWN_SESSION = -120


class Event:
    CREATED = 1
    DELETED = 2
    DATA = 3
    CHILDREN = 4


class Flag:
    """Of `create`. Containers and nodes with a time to live are not simulated, and refused."""

    EPHEMERAL = 1
    SEQUENCE = 2
    SIMULATED = range(4)
    KNOWN = range(7)


class Perm:
    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class Refusal(Exception):
    """A request is refused with one of ZooKeeper's errors."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
