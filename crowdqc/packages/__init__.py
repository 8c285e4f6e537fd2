"""Work packages: what goes back to a rater, and what comes back.

`plan` says which slices go to whom, `write` makes a folder of them in the layout of an annotation
tool, `task_file` is the file inside that says what was asked, `receive` takes in what came back,
and `returns` says whether it has become better.
"""
