"""What does a model take along to whoever uses it: card, prompt, its answers in forms that others read?

It measures and trains nothing: a card says what is in the files of a run, and what is not.
"""
