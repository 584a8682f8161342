"""Scores over depth: tables, plots, reports."""
