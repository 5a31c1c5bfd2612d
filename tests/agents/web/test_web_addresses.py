"""Which addresses agents may reach, however they are written."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.tools.web.addresses import (
    AllowedHosts,
    allowed_hosts_of,
    is_public,
    parse_address,
    resolve_address,
    system_resolver,
)
from sale.errors import FetchError, ForbiddenAddressError

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1"),
    *("169.254.169.254", "100.100.100.200", "100.64.0.1", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::", "2001::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1"),
    *("3fff::1", "2606:4700::1111%eth0"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_on_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not_refused(address: str) -> None:
    assert is_public(ip_address(address))


@given(number=st.integers(min_value=0, max_value=2**32 - 1))
def test_no_ipv4_address_is_public_that_the_standard_library_calls_private(number: int) -> None:
    address = ip_address(number)
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@given(number=st.integers(min_value=0, max_value=2**128 - 1))
def test_no_ipv6_address_is_public_that_the_standard_library_calls_private(number: int) -> None:
    address = ip_address(number + 2**32 if number < 2**32 else number)
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


# What the system's own look-up makes of numbers written oddly; none of these needs a network.
@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"),
        *(
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://localhost/",
        ),
        *(
            "http://169.254.169.254/latest/meta-data/",
            "http://[fe80::1]/",
            "http://127。0。0。1/",
            "http://127.0.0.1./",
        ),
        *("http://[64:ff9b::7f00:1]/", "http://[::]/", "http://LOCALHOST/"),
    ],
)
async def test_ways_of_writing_an_address_lead_nowhere_private(address: str) -> None:
    with pytest.raises(FetchError):
        await resolve_address(parse_address(address), AllowedHosts(), system_resolver)


@pytest.mark.parametrize(
    "address",
    [
        *("ftp://a.example/", "file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "//a.example/", "a", ""),
        *("http://", "http:///x", "http://user@a.example/", "http://user:pw@a.example/", "http://a b.example/"),
        *("http://a\n.example/", "http://[fe80::1%25eth0]/", "http://%31.example/", "http://a.example/" + "x" * 3000),
        *("http://[::1/", "http://a.example:port/", "gopher://a.example/", "http://\x00/"),
    ],
)
def test_what_is_no_plain_web_address_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        parse_address(address)


@given(text=st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for address in (text, f"http://{text}", f"http://a.example/{text}"):
        try:
            url = parse_address(address)
        except ForbiddenAddressError:
            continue
        assert isinstance(url, httpx2.URL)
        assert url.host


async def _at(*addresses: str) -> Sequence[str]:
    return addresses


async def test_one_private_address_among_several_refuses_the_name() -> None:
    url = parse_address("http://a.example/")
    good = await resolve_address(url, AllowedHosts(), lambda host, port: _at("8.8.8.8", "2606:4700::1111"))
    assert good.addresses == ("8.8.8.8", "2606:4700::1111")
    with pytest.raises(ForbiddenAddressError, match=r"leads to 10\.0\.0\.1"):
        await resolve_address(url, AllowedHosts(), lambda host, port: _at("8.8.8.8", "10.0.0.1"))
    with pytest.raises(ForbiddenAddressError):
        await resolve_address(url, AllowedHosts(), lambda host, port: _at("no address"))
    with pytest.raises(FetchError, match="there is no host"):
        await resolve_address(url, AllowedHosts(), lambda host, port: _at())


@pytest.mark.parametrize(("address", "port"), [("http://a.example:22/", 22), ("https://a.example:6379/", 6379)])
async def test_ports_other_than_the_webs_are_closed_unless_opened(address: str, port: int) -> None:
    with pytest.raises(ForbiddenAddressError, match=f"port {port}"):
        await resolve_address(parse_address(address), AllowedHosts(), lambda host, number: _at("8.8.8.8"))
    place = await resolve_address(
        parse_address(address), AllowedHosts(ports=frozenset({port})), lambda host, number: _at("8.8.8.8")
    )
    assert place.port == port


async def test_named_hosts_and_networks_are_open_and_nothing_else_is() -> None:
    reach = allowed_hosts_of(["wiki.Example", "10.1.0.0/16", "192.168.0.9", "fd00::/8"], [80])
    for host, address in (("wiki.example", "10.9.9.9"), ("a.example", "10.1.2.3"), ("b.example", "fd00::1")):
        await resolve_address(parse_address(f"http://{host}/"), reach, lambda name, port, at=address: _at(at))
    for host, address in (
        ("evil.wiki.example", "10.9.9.9"),
        ("wiki.example.evil", "10.9.9.9"),
        ("a.example", "10.2.0.1"),
        ("a.example", "192.168.0.8"),
        ("a.example", "::ffff:10.1.2.3"),
    ):
        with pytest.raises(ForbiddenAddressError):
            await resolve_address(parse_address(f"http://{host}/"), reach, lambda name, port, at=address: _at(at))


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "http://a.example", "a b", "", "10.0.0.1/8", "*.example", "a..b"])
def test_what_is_no_place_cannot_be_allowed(entry: str) -> None:
    with pytest.raises(ValueError, match="no name of a host"):
        allowed_hosts_of([entry], [80])


async def test_a_name_nobody_knows() -> None:
    with pytest.raises(FetchError, match="no host"):
        await system_resolver("a" * 70 + ".example", 80)
