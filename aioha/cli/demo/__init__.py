"""`aioha demo`: real candidates, a leader that is killed and one that resigns, and a drawing of what happened.

`account` keeps the facts, `candidate` is the program that each candidate runs, `crew` starts and kills them, `story`
is the plot, `drawing` makes pictures of the account, `view` shows them, live or as plain lines.
"""
