"""A policy that is cut over ranks by FSDP2: how it is cut, and how each rank reads its parts from files."""
