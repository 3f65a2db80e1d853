"""hpo's configuration: Hydra finds the YAML files of this package under pkg://hpo.conf."""
