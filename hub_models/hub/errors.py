"""The one exception of this package."""


class HubError(ValueError):
    """Something cannot be published. The message is one sentence that says what and what to do about it."""
