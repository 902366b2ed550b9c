"""PostgreSQL's address as whoever connects takes it. Users write it once, as libpq does."""

SCHEMES = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})


def for_sqlalchemy(url: str) -> str:
    """It hands what stands after the `?` to asyncpg's `connect`, where `sslmode` is called so."""
    return _address("postgresql+asyncpg", url, {"sslmode": "ssl"})


def for_asyncpg(url: str) -> str:
    """It reads libpq's words, and sends any other to the server as a setting."""
    return _address("postgresql", url, {"ssl": "sslmode"})


def _address(scheme: str, url: str, names: dict[str, str]) -> str:
    who, at, where = url.partition("://")[2].rpartition("@")
    where, begins, options = where.partition("?")
    pairs = (option.partition("=") for option in options.split("&"))
    named = "&".join(f"{names.get(name, name)}{equals}{value}" for name, equals, value in pairs)
    return f"{scheme}://{who}{at}{where}{begins}{named}"
