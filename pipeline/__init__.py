"""The job: options, composition, runners, sources and sinks, command line, rules, report."""
