"""What a request is refused with."""


class Refused(Exception):
    """A request that cannot be carried out, and why, in words."""
