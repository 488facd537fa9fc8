"""The wire: ZooKeeper's protocol on one connection. The only package that imports aiozk, and all it takes from it are
message formats, error classes and, for users, the client facade. It knows requests, replies and watches; it knows
nothing of leases or elections.
"""
