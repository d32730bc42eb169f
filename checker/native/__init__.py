"""The native engine: a System as C, compiled, and run as a process of its own."""
