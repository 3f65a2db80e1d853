"""Where trials run. Each folder is a Hydra launcher that also streams (hpo.search.stream.Stream)."""
