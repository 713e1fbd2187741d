"""Conditions of new trials: variables, requests, features for networks, and novelty."""
