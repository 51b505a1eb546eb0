"""The sections of the report, one a file: what was run, then what is tested, then all else."""
