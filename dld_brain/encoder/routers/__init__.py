"""Routers: a model that decides itself which layers run."""
