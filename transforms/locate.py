"""Where a call came from: a source address -> Source, by a MaxMind-format city database."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice
from typing import Any, Final

import maxminddb

from schemas.event import Source
from transforms.values import Memo, is_absent

INSIDE: Final = "inside"
"""The place of a private address."""

SAMPLE: Final = 1000
"""Of how many networks, from the first, a database is read when it is opened; as many more are
looked up all over the range of IPv4.
"""

_RENEW: Final = "download it again"
_Address = IPv4Address | IPv6Address

_PRIVATE: Final = tuple(
    ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
# Written out since Python's own notion of a global address differs between its versions.
_NOWHERE: Final = tuple(
    ip_network(net)
    for net in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "::1/128", "100::/64", "2001:db8::/32", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)


class CityDatabaseError(ValueError):
    """A city database that cannot be used: which, what is wrong, and what to do."""


class Locator(Memo[str | None, Source]):
    """Locates addresses by a city database, or by none: then only private ones have a place.

    `locator[address]` is the Source of a record's `sourceIPAddress`, None for a record without.
    Bounded, each address is looked up once; a database's pages are shared between processes.
    Raises CityDatabaseError if the database is missing, broken or not one of cities; a look-up
    does, if it is broken where no sample was taken.
    """

    def __init__(self, database: str | None = None):
        super().__init__(self._locate, limit=65_536, longest=64)
        self._path = database or ""
        self._reader = None if database is None else _open(database)
        self._four_only = self._reader is not None and self._reader.metadata().ip_version == 4

    def _locate(self, address: str | None) -> Source:
        if address is None or is_absent(address):
            return Source()
        parsed = _parse(address)
        if parsed is None:
            return Source(address=address)
        ip = str(parsed)
        network = ".".join(ip.split(".")[:2]) if parsed.version == 4 else ip[:9]
        country, city, place = "", "", ""
        if any(parsed in net for net in _PRIVATE):
            place = INSIDE
        elif not any(parsed in net for net in _NOWHERE):
            country, city = self._city(parsed)
            place = city or country
        return Source(address, ip, country, city, place, network)

    def _city(self, address: _Address) -> tuple[str, str]:
        if self._reader is None or (self._four_only and address.version == 6):
            return "", ""
        try:
            return country_and_city(self._reader.get(address))
        except maxminddb.InvalidDatabaseError as error:
            raise _unusable(self._path, f"it is damaged ({error})", _RENEW) from error


def check(database: str) -> None:
    """Raise CityDatabaseError unless a file is a sound city database; reads a sample of it."""
    _open(database).close()


def country_and_city(found: object) -> tuple[str, str]:
    """ISO country code and English city name of a database's entry, "" where it has none.

    Reads MaxMind's layout (`city.names.en`, `country.iso_code`) and the flat one of DB-IP and
    others (`city: "London"`, `country_code: "GB"` or `country: "GB"`).
    """
    entry = _map(found)
    city, country = entry.get("city"), entry.get("country")
    if isinstance(city, Mapping):
        city = _map(city.get("names")).get("en")
    code = _map(country).get("iso_code") or entry.get("country_code") or country
    return _word(code), _word(city)


def _word(value: object) -> str:
    return value if isinstance(value, str) and not is_absent(value) else ""


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse(address: str) -> _Address | None:
    """An address, an IPv4 one that came as `::ffff:1.2.3.4` as itself; None for anything else."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return None
        return parsed.ipv4_mapped or parsed
    return parsed


def _unusable(path: str, problem: str, remedy: str) -> CityDatabaseError:
    return CityDatabaseError(f"City database {path}: {problem}; {remedy}.")


def _open(path: str) -> maxminddb.Reader:
    remedy = "give the path of a GeoLite2, GeoIP2 or DB-IP city database (.mmdb)"
    try:
        reader = maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        problem = "no such file" if isinstance(error, FileNotFoundError) else "it cannot be opened"
        raise _unusable(path, f"{problem} ({error})", remedy) from error
    kind = reader.metadata().database_type
    try:
        first = [entry for _, entry in islice(reader, SAMPLE)]
        spread = [reader.get(IPv4Address(block << 22)) for block in range(1 << 10)]
    except (ValueError, maxminddb.InvalidDatabaseError) as error:
        raise _unusable(path, f"it is damaged ({error})", _RENEW) from error
    if not any(country_and_city(entry)[1] for entry in first + spread):
        problem = f"it is of type {kind} and a sample of its networks names no city"
        raise _unusable(path, problem, remedy)
    return reader
