"""Where calls come from: cities, networks without a city, AWS's own regions, CI machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from mmdb_writer import MMDBWriter
from netaddr import IPSet
from numpy.random import Generator

from pipeline.simulate.catalogue import load_yaml
from pipeline.simulate.chance import pick

CONTINENTS: Final = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A city, or a country where the city is not known, and its networks by use."""

    city: str
    country: str
    continent: str = ""
    at: tuple[float, float] = (0.0, 0.0)
    zone: str = ""
    utc: float = 0.0
    """Hours ahead of UTC, all year."""
    home: tuple[str, ...] = ()
    office: tuple[str, ...] = ()
    hosting: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What makes a city: two are called London."""
        return self.country, self.city


@dataclass(frozen=True)
class Atlas:
    """All places."""

    cities: tuple[Place, ...]
    mobile: dict[str, Place]
    """Mobile networks by country; they have no city."""
    regions: dict[str, Place]
    runners: tuple[Place, ...]

    def __iter__(self) -> Iterator[Place]:
        yield from self.cities
        yield from self.mobile.values()
        yield from self.regions.values()
        yield from self.runners


@cache
def load_atlas() -> Atlas:
    """The places of world.yaml."""
    world = load_yaml("world.yaml")
    return Atlas(
        cities=tuple(
            _place(
                one, name="name", home=one["home"], office=[one["office"]], hosting=[one["hosting"]]
            )
            for one in world["cities"]
        ),
        mobile={
            code: Place("", code, home=tuple(networks))
            for code, networks in world["mobile"].items()
        },
        regions={name: _place(one, home=one["networks"]) for name, one in world["regions"].items()},
        runners=tuple(_place(one, home=one["networks"]) for one in world["runners"]),
    )


def _place(one: dict[str, Any], name: str = "city", **networks: list[str]) -> Place:
    return Place(
        city=one[name],
        country=one["country"],
        continent=one["continent"],
        at=(one["at"][0], one["at"][1]),
        zone=one["zone"],
        utc=float(one.get("utc", 0)),
        **{use: tuple(those) for use, those in networks.items()},
    )


def address_in(chance: Generator, networks: tuple[str, ...], six: bool = False) -> str:
    """An address of one of the networks; of an IPv6 one only where asked for."""
    fitting = [each for each in networks if (":" in each) is six]
    network = ip_network(pick(chance, fitting or networks))
    hosts = min(network.num_addresses, 1 << 40)
    return str(network[int(chance.integers(4, hosts - 4))])


class _Writer(MMDBWriter):  # type: ignore[misc]
    """A database writer without a clock."""

    built = 0

    def _build_meta(self) -> dict[str, Any]:
        return {**super()._build_meta(), "build_epoch": self.built}


def write_city_database(path: Path, built: int) -> None:
    """Write all places in the layout of GeoLite2-City, as built at a moment."""
    writer = _Writer(
        ip_version=6,
        ipv4_compatible=True,
        database_type="GeoLite2-City",
        languages=["en"],
        description="Simulated places for raretrail",
    )
    writer.built = built
    for place in load_atlas():
        networks = IPSet([*place.home, *place.office, *place.hosting])
        writer.insert_network(networks, _entry(place))
    writer.to_db_file(str(path))


def _entry(place: Place) -> dict[str, Any]:
    entry: dict[str, Any] = {"country": {"iso_code": place.country}}
    if place.city:
        entry["city"] = {"names": {"en": place.city}}
        entry["continent"] = {"code": place.continent, "names": {"en": CONTINENTS[place.continent]}}
        entry["location"] = {
            "accuracy_radius": 20,
            "latitude": place.at[0],
            "longitude": place.at[1],
            "time_zone": place.zone,
        }
        entry["registered_country"] = {"iso_code": place.country}
    return entry
