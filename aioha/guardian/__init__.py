"""The guardian: a small process beside a candidate that acts when the candidate cannot.

    guarded     in the candidate: starts its guardian and tells it what to know
    facts       what the two tell each other, and how
    process     in the guardian: watches the candidate, and decides
    leftovers   in the guardian: what a dead candidate has left running
    closing     in the guardian: ends the candidate's session

When the candidate dies, its guardian ends what was left running and closes the ZooKeeper session, so that the next
leader works within milliseconds rather than after a whole session timeout. When the candidate is frozen, or its event
loop hangs, its guardian kills it before its lease ends. A speed-up and a second net: nothing in the safety of a term
rests on it, and its failure costs only time.

The guardian's own files import the standard library, sparingly, and no more of aioha than `descendants` and `cgroup`:
one runs beside every candidate, and should not be felt.
"""
