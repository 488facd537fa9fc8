"""Elections that we share with other systems: candidates of theirs and of ours as processes, and the play that they act.

A candidate is started with `SERVERS PATH TIMEOUT_MS IDENTITY`, and takes part at once. It writes lines `EVENT IDENTITY
[TEXT] NANOSECONDS` to stdout, each in one write, stamped by CLOCK_MONOTONIC (`time.monotonic_ns()`, `System.nanoTime()`),
which all processes of a host share:

* `UP ID SESSION:PASSWORD` it is connected (both in hexadecimal); again with each new session, where it is easily told;
* `LEAD ID` its work has begun, `STOP ID` its work is over, and leadership has not been given up yet;
* `MEMBERS ID A,B,C` whom its own system lists, the leader first; `?` for nobody.

It reads stdin: `resign` (give up, and take part again behind the others), `members`, `quit` (or the end of input).
"""
