"""Loads of experts: read, recorded, made by rule, predicted."""
