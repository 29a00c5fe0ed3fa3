"""What goes wrong in a conversion, as sentences."""


class ConversionError(ValueError):
    """The checkpoint cannot be converted; the message says why and lists the names at fault."""


def list_names(names, limit: int = 20) -> str:
    """Sorted names, one a line, at most `limit`."""
    names = sorted(names)
    more = [f"  ... and {len(names) - limit} more"] if len(names) > limit else []
    return "\n".join([f"  {name}" for name in names[:limit]] + more)
