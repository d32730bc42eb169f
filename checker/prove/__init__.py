"""Proofs for any number of CPUs: a System without sizes, an invariant found, and its recheck."""
