"""The live table of an experiment: snapshots of it, how they are drawn, and on what terminal."""
