"""What does a formula say, and do two say the same? Read and compared in bounded time, without SymPy."""
