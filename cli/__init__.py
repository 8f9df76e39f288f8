"""The command line: thin commands over the pipeline, and the one place that prints and exits."""
