"""What a job needs in whatever process it runs: one of this machine, or of another."""
