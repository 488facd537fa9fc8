"""Numbers of the protocol, as the raw client and the cases use them."""

CREATE, DELETE, EXISTS, GET, SET, GET_ACL, SET_ACL, CHILDREN, SYNC, PING = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11
CHILDREN2, CHECK, MULTI, CREATE2, AUTH, SET_WATCHES, CLOSE = 12, 13, 14, 15, 100, 101, -11
EPHEMERAL, SEQUENCE = 1, 2
READ, WRITE, MAY_CREATE, MAY_DELETE, ADMIN, ALL = 1, 2, 4, 8, 16, 31
OPEN = ((ALL, "world", "anyone"),)
WATCH_XID, PING_XID, AUTH_XID = -1, -2, -4
