"""Backups: making them beside a running server, looking them through, restoring them, and moving house.

The portable form is one file for all databases: a zip (``archive.py``) with a member of JSON lines a table
(``form.py``). Answers that are sealed stay sealed in it, so that it can be made, and kept, without a key;
STEPKEEP_ANSWERS_KEYS are to be kept apart from it, and without them the answers are lost. All else in it is plain:
whoever has the file has the database.

* ``create``, ``verify``, ``restore``, ``move``  what an operator asks for
* ``native``                                     the databases' own forms
* ``databases``, ``drivers``                     rows out of a database and into it
* ``archive``, ``form``                          the file, and rows in it
* ``pairs``, ``folding``                         whether each session is the fold of its history
"""
