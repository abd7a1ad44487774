"""Addresses, places and city databases."""

import csv

import maxminddb
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from schemas.event import Source
from transforms import locate
from transforms.locate import CityDatabaseError, Locator, check, country_and_city


@pytest.fixture(scope="session")
def geoip(shared):
    return shared / "data" / "geoip"


def write(path, entries, kind="Test-City", version=4):
    writer = MMDBWriter(ip_version=version, database_type=kind, ipv4_compatible=version == 6)
    for network, entry in entries.items():
        writer.insert_network(IPSet([network]), entry)
    writer.to_db_file(str(path))
    return str(path)


@pytest.fixture
def flat(tmp_path):
    """DB-IP's flat layout, and that of a database which has the country as a map."""
    return write(
        tmp_path / "flat.mmdb",
        {
            "81.2.69.0/24": {"city": "London", "country_code": "GB", "country": "United Kingdom"},
            "81.2.70.0/24": {"city": "Leeds", "country": {"iso_code": "GB"}},
            "81.2.71.0/24": {"country": "GB"},
            "81.2.72.0/24": {"city": {"names": {"en": "Milton"}}, "country": {"iso_code": "US"}},
            "81.2.73.0/24": {"city": "-", "country": {"names": {"en": "x"}}},
            "10.0.0.0/8": {"city": "Nowhere", "country": "XX"},
            "127.0.0.0/8": {"city": "Nowhere", "country": "XX"},
        },
    )


@pytest.mark.parametrize(
    ("address", "country", "city", "place"),
    [
        ("81.2.69.144", "GB", "London", "London"),
        ("81.2.70.1", "GB", "Leeds", "Leeds"),
        ("81.2.71.1", "GB", "", "GB"),
        ("81.2.72.1", "US", "Milton", "Milton"),
        ("81.2.73.1", "", "", ""),
        ("8.8.8.8", "", "", ""),
    ],
)
def test_layouts_and_missing_cities(flat, address, country, city, place):
    source = Locator(flat)[address]
    assert (source.country, source.city, source.place) == (country, city, place)
    assert (source.address, source.ip) == (address, address)


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
        *("100.127.255.255", "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1"),
    ],
)
def test_private_addresses_are_inside(flat, address):
    for locator in (Locator(flat), Locator()):
        source = locator[address]
        assert (source.place, source.country, source.city) == ("inside", "", "")
        assert source.ip
        assert source.network


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "127.0.0.1", "169.254.169.254", "192.0.2.1", "203.0.113.9", "224.0.0.1"),
        *("255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "ff02::1", "2001:db8::1"),
    ],
)
def test_other_special_addresses_have_no_place(flat, address):
    source = Locator(flat)[address]
    assert (source.place, source.country, source.city) == ("", "", "")
    assert source.ip == address


@pytest.mark.parametrize("address", ["172.15.255.255", "172.32.0.0", "100.63.0.1", "100.128.0.1"])
def test_neighbours_of_private_networks_are_outside(flat, address):
    assert Locator(flat)[address].place == ""


@pytest.mark.parametrize(
    "words",
    [
        *(
            "AWS Internal",
            "config.amazonaws.com",
            "253.252.51.07",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
        ),
        *("1.2.3.4 ", "1.2.3.4, 5.6.7.8", "１.2.3.4", "fe80::1%eth0", "1.2.3.256", "HIDDEN_DUE_TO"),
    ],
)
def test_what_is_no_address_keeps_its_words_only(flat, words):
    assert Locator(flat)[words] == Source(address=words)


def test_no_address():
    assert Locator()[""] == Locator()[None] == Locator()["-"] == Source()


@pytest.mark.parametrize(
    ("address", "ip", "network"),
    [
        ("81.2.69.144", "81.2.69.144", "81.2"),
        ("2001:0218:0000:0000::0001", "2001:218::1", "2001:218:"),
        ("2A02:CF40:ABCD:0:0:0:0:1", "2a02:cf40:abcd::1", "2a02:cf40"),
        ("::ffff:81.2.69.144", "81.2.69.144", "81.2"),
    ],
)
def test_canonical_address_and_network(address, ip, network):
    source = Locator()[address]
    assert (source.address, source.ip, source.network) == (address, ip, network)


def test_ipv6_in_a_database_of_ipv4_only(flat):
    assert Locator(flat)["2a02:cf40::1"] == Source(
        "2a02:cf40::1", "2a02:cf40::1", network="2a02:cf40"
    )


def test_a_look_up_is_done_once(flat, monkeypatch):
    locator = Locator(flat)
    seen = []
    monkeypatch.setattr(locate, "country_and_city", lambda entry: seen.append(entry) or ("", "X"))
    assert locator["81.2.69.144"] is locator["81.2.69.144"]
    assert len(seen) == 1


def test_the_cache_is_bounded():
    locator = Locator()
    for number in range(70_000):
        assert locator[str(number)].address == str(number)
    assert len(locator) <= 65_536
    before = len(locator)
    assert locator["x" * 65].address == "x" * 65
    assert len(locator) == before, "longer than any address: not kept"


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"city": 7, "country": [1]}, {"city": {}}])
def test_strange_entries_name_nothing(entry):
    assert country_and_city(entry) == ("", "")


def test_broken_and_foreign_files_are_refused_in_one_line(tmp_path, flat):
    foreign = tmp_path / "notes.mmdb"
    foreign.write_text("not a database")
    countries = write(tmp_path / "c.mmdb", {"81.2.0.0/16": {"country": {"iso_code": "GB"}}})
    for path in (str(tmp_path / "none.mmdb"), str(tmp_path), str(foreign), countries):
        for attempt in (check, Locator):
            with pytest.raises(CityDatabaseError) as caught:
                attempt(path)
            assert path in str(caught.value)
            assert "\n" not in str(caught.value)
            assert isinstance(caught.value, ValueError)
    check(flat)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("GeoIP2-City-Test-Broken-Double-Format", "damaged"),
        ("GeoIP2-City-Test-Invalid-Node-Count", "cannot be opened"),
        ("GeoLite2-ASN-Test", "GeoLite2-ASN"),
    ],
)
def test_fixtures_that_must_be_refused(geoip, name, problem):
    with pytest.raises(CityDatabaseError, match=problem):
        check(str(geoip / f"{name}.mmdb"))


def test_damage_found_later_is_told_and_not_taken_for_a_place(geoip, monkeypatch):
    monkeypatch.setattr(locate, "_open", maxminddb.open_database)
    with pytest.raises(CityDatabaseError, match="damaged"):
        Locator(str(geoip / "GeoIP2-City-Test-Broken-Double-Format.mmdb"))["81.2.69.144"]


@pytest.mark.parametrize("name", ["GeoIP2-City-Test", "GeoLite2-City-Test"])
@pytest.mark.parametrize(
    ("address", "country", "city"),
    [
        ("81.2.69.144", "GB", "London"),
        ("89.160.20.156", "SE", "Linköping"),
        ("216.160.83.56", "US", "Milton"),
        ("2001:220::1", "KR", ""),
    ],
)
def test_fixtures(geoip, name, address, country, city):
    source = Locator(str(geoip / f"{name}.mmdb"))[address]
    assert (source.country, source.city, source.place) == (country, city, city or country)


def test_every_city_of_the_mini_database(geoip):
    locator = Locator(str(geoip / "mini-city-2019.mmdb"))
    with (geoip / "mini-city-2019.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1000
    for row in rows:
        source = locator[row["sample_ip"]]
        assert (source.country, source.city) == (row["country"], row["city"])
