"""How are rows of other projects read: which of their columns is which of our fields?

It knows no model and no curriculum. ``formats.columns`` is the format that reads files by these mappings.
"""
