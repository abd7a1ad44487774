"""`python -m pipeline` is `raretrail`: launchers of Flink and Dataflow want a module."""

import sys

from pipeline.cli import main

sys.exit(main())
