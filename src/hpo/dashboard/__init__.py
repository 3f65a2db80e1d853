"""The dashboard: pages in a browser over the files and databases of experiments, which it only reads.

`app` makes the pages, `safety` stands in front of them, `files` gives what lies in the directory, `mounts` adds
optuna-dashboard and TensorBoard, and `command` serves it all at one address.
"""
