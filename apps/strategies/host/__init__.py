"""Where plug-ins run: in a process of their own that can be killed, so that none holds up or takes down the others."""
