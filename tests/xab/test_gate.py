"""The experimenter's password, the cookies that remember it, and how guessing it is slowed down."""

import time

import pytest
from xab_support import Clock

from xab.pages.entry import Client, Throttle, network, number
from xab.settings import Gate, Settings


def test_a_generated_password_is_told_once_and_can_be_renewed(tmp_path):
    settings = Settings(data=tmp_path / "data")
    first, again = Gate(settings), Gate(settings)
    assert first.admits(first.generated) and again.generated is None and again.admits(first.generated)
    assert (settings.data / "password").stat().st_mode & 0o077 == 0
    assert first.generated.encode() not in (settings.data / "password").read_bytes()
    cookie = again.cookie()
    assert again.knows(cookie) and not again.knows(cookie[:-1] + ("0" if cookie[-1] != "0" else "1"))
    fresh = first.renew()
    assert again.admits(fresh) and not again.knows(cookie)


@pytest.mark.parametrize("hours, known", [(0, True), (11.9, True), (12.1, False), (-1, False)])
def test_a_login_lasts_twelve_hours(tmp_path, monkeypatch, hours, known):
    gate, now = Gate(Settings(data=tmp_path / "data")), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    cookie = gate.cookie()
    monkeypatch.setattr(time, "time", lambda: now + hours * 3600)
    assert gate.knows(cookie) is known


def test_ended_logins_are_forgotten_once_they_have_run_out(tmp_path):
    clock = Clock()
    gate = Gate(Settings(data=tmp_path / "data"), clock=clock)
    first, second = gate.cookie(), gate.cookie()
    gate.end(first)
    clock.pass_(13 * 3600)
    gate.end(second)
    assert list(gate._ended) == [second]


def test_what_is_signed_for_one_purpose_is_no_other(tmp_path):
    gate, other = Gate(Settings(data=tmp_path / "data")), Gate(Settings(data=tmp_path / "other"))
    cookie = gate.cookie()
    token = gate.form_token(cookie)
    assert gate.knows_form(cookie, token) and not other.knows_form(cookie, token) and not other.knows(cookie)
    assert not gate.knows_form(cookie, cookie.rpartition(".")[2])
    assert not gate.knows(f"{cookie.rpartition('.')[0]}.{gate.form_token(cookie.rpartition('.')[0])}")
    assert not gate.knows(None) and not gate.knows_form(cookie, "\N{BLACK STAR}" * 64)


def test_the_throttle_opens_again():
    clock, client = Clock(), Client(name="192.0.2.1", known=False)
    throttle = Throttle(most=2, window=60, clock=clock)
    throttle.failed(client)
    clock.pass_(30)
    throttle.failed(client)
    assert throttle.wait(client) == 30 and throttle.wait(Client(name="192.0.2.2", known=False)) == 0
    clock.pass_(30)
    assert throttle.wait(client) == 0


def test_many_addresses_together_are_slowed_down_and_known_browsers_are_not():
    clock = Clock()
    throttle = Throttle(most=2, together=5, window=60, clock=clock)
    for last in range(5):
        throttle.failed(Client(name=f"192.0.2.{last}", known=False))
        clock.pass_(1)
    assert throttle.wait(Client(name="192.0.2.9", known=False)) == 55
    assert throttle.wait(Client(name="192.0.2.9", known=True)) == 0


@pytest.mark.parametrize(
    "address, name",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_machine_is_one_client(address, name):
    assert network(address) == name


@pytest.mark.parametrize(
    "value, digits, shown",
    [(-0.0, 2, "0.00"), (-0.004, 2, "0.00"), (-0.006, 2, "-0.01"), (1234.5, 1, "1\u2009234.5"), (None, 2, "–")],
)
def test_numbers_as_the_pages_show_them(value, digits, shown):
    assert number(value, digits) == shown
