"""What Beam's `--setup_file` wants; the metadata is in pyproject.toml."""

from setuptools import setup

setup()
