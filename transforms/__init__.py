"""The steps: each file one verb; pure functions first, the PTransform that wires them last."""
