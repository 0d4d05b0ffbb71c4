"""Run one stack anywhere, mixed: native processes, containers and far machines on one network."""

__version__ = "0.1.0"
