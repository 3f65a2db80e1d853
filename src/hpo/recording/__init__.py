"""Recorders: the sinks of what a trial logs."""
