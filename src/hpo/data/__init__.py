"""Data that trials train on."""
