"""Writes the skeleton of a user's project, from the templates in the folder `project`."""
