"""A simulated organisation with labelled attacks, in CloudTrail's own layout."""

from pipeline.simulate.simulation import simulate
from pipeline.simulate.spec import Simulation, SimulationSummary

__all__ = ["Simulation", "SimulationSummary", "simulate"]
