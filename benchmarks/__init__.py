"""Speed, memory, and agreement with golden numbers."""
