"""Why the store refuses: for people (message), for programs (code)."""


class Refused(Exception):
    """A request that changes nothing."""

    status = 400

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


class NotFound(Refused):
    """No such study, session, trial or file, or not for this asker: the two look the same from outside."""

    status = 404


class Conflict(Refused):
    """It exists, but not in a state that allows this."""

    status = 409
