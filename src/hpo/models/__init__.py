"""Models that ship with hpo."""
