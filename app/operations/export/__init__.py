"""Export of a survey for people who analyse it: one row a session, or one an event; and the codebook to it.

* ``asked``      what is asked for: which survey and sessions, in which format
* ``revisions``  the definitions of a survey: the newest and those that older sessions are pinned to
* ``columns``    what a column is; ``placing`` which answers fit into it, ``names`` what it may be called
* ``steps``      the columns of each step, over all revisions; ``layout`` all columns, and a session's row in them
* ``walk``       the sessions, a page at a time, and what was left out
* ``events``     the rows of history, with their timings
* ``delimited``, ``jsonl``, ``arrow``, ``workbook``, ``labelled``: the formats; ``programs`` what SPSS and Stata hold
* ``codebook``   what each column means, as JSON and as Markdown
* ``export``     :class:`~app.operations.export.export.Export`, the doors' way in

Every answer is in every format of a row a session: in its step's columns, or, where it fits none of them (a step
of no known revision, a value that the step does not take), as JSON in the column ``other_answers``.
"""
