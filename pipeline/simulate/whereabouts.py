"""Where a person is: home, office, under way, behind a VPN, on a mobile network, abroad."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from pipeline.simulate.chance import pick, stream
from pipeline.simulate.organisation import Organisation
from pipeline.simulate.places import Place, address_in

TRAVELLERS: Final = 0.2
LINE_DAYS: Final = 9
"""Days after which a private line gets another address."""


class Whereabouts:
    """The cities and addresses of one person."""

    def __init__(self, organisation: Organisation, name: str, chance: Generator) -> None:
        self.organisation = organisation
        self.seed, self.name = organisation.spec.seed, name
        homes, offices = organisation.homes, organisation.offices
        weights = [5.0 / (i + 1.5) if i < len(offices) else 0.5 for i in range(len(homes))]
        self.city = pick(chance, homes, weights)
        self.in_office = float(chance.uniform(0.3, 0.8)) if self.city in offices else 0.0
        self.vpn = 0.12 if chance.random() < 0.3 else 0.0
        self.exit = pick(chance, offices)
        self.mobile = 0.15 if chance.random() < 0.3 else 0.0
        self.six = bool(chance.random() < 0.06)
        self.journey = self._plan_journey(chance)

    def _plan_journey(self, chance: Generator) -> tuple[range, Place]:
        days = self.organisation.spec.days
        begin, length = int(chance.integers(0, days)), int(chance.integers(2, 7))
        abroad = [each for each in self.organisation.visited if each.key != self.city.key]
        place = pick(chance, abroad)
        going = chance.random() < TRAVELLERS
        return range(begin, begin + length if going else begin), place

    @property
    def places(self) -> set[tuple[str, str]]:
        """Cities this person is ever seen in."""
        found = {self.city.key}
        if self.journey[0]:
            found.add(self.journey[1].key)
        if self.vpn:
            found.add(self.exit.key)
        return found

    def utc(self, day: int) -> float:
        """Hours ahead of UTC where this person is on a day."""
        return self._city(day).utc

    def _city(self, day: int) -> Place:
        return self.journey[1] if day in self.journey[0] else self.city

    def address(self, chance: Generator, day: int) -> str:
        """An address this person has on a day."""
        city, roll = self._city(day), chance.random()
        if roll < self.vpn:
            return fixed_address(self.seed, self.exit, "hosting")
        if roll < self.vpn + self.mobile and city.country in self.organisation.atlas.mobile:
            return address_in(chance, self.organisation.atlas.mobile[city.country].home)
        if city is self.city and chance.random() < self.in_office:
            return fixed_address(self.seed, city, "office")
        return self.home_address(city, day)

    def home_address(self, city: Place, day: int) -> str:
        """The address of a private line, which changes now and then."""
        line = stream(self.seed, "line", self.name, *city.key, day // LINE_DAYS)
        return address_in(line, city.home[:-1] if not self.six else city.home, self.six)


def fixed_address(seed: int, city: Place, use: str) -> str:
    """The one address of an office or of the VPN's exit in a city."""
    networks = city.office if use == "office" else city.hosting
    return address_in(stream(seed, use, *city.key), networks)
