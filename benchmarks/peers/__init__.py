"""Engines that are measured, each a process of its own: ours, a bare loop, and peers in environments of their own."""
