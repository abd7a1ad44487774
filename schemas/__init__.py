"""The contracts: what an event, a slice, an anomaly, an alert, a rule and a state hold.

Nothing here imports Beam or any other package of the project.
"""
