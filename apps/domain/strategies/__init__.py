"""Strategies as plug-ins: each module of this folder that holds a named Strategy is one."""
