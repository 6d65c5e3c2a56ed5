"""The survey core: what a survey is, and what a command does to a session.

Pure: values in, values out. No Flask, no SQLAlchemy, no clock, no I/O; times and ids arrive on the
command. ``flow.decide`` says what happens, ``state.apply`` follows it.
"""
