"""Errors that are no bugs. Everything else that is raised and not caught is one."""


class UserError(Exception):
    """A mistake in what was asked, or a machine that can't do it: lines that name the field, the value and the cure."""


class TooMuchQuarantinedError(Exception):
    """More records than allowed could not be read or processed; the dataset can be resumed."""
