"""The figures of the report as PNGs: bytes, so that equal numbers give equal files."""
