"""What does a formula say, and do two of them say the same? Read and compared in bounded time, without SymPy."""
