"""Litmus tests in herd's C dialect, under the weak memory model."""
