"""Proof by trial: random elections in virtual time, judged by the invariants (`python -m proof.simulate`)."""
