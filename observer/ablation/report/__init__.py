"""What does a grid say, and what not? The report of its runs: on the terminal, as Markdown, CSV and figures.

It measures nothing: it reads what the runs have written. What an interval is, ``observer.statistics`` says.
"""
