"""Speed, memory, and agreement with golden numbers."""

import logging

logging.basicConfig(level=logging.ERROR)  # Beam warns of things that concern nobody here
