"""Trials on a Ray cluster, or on a Ray that is started here."""
