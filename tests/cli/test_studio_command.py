"""`pixkit studio`: what it prints and serves, and how it ends."""

import json
import re

import pytest

from pixkit.cli.commands import studio
from pixkit.studio.asked import ImageAsked


@pytest.fixture
def served(monkeypatch):
    """Servers that would serve until interrupted, which comes after what a test does with them; browsers opened."""
    found = {"opened": [], "then": lambda server: None}

    def serve(server):
        try:
            found["then"](server)
        finally:
            server.server_close()
        raise KeyboardInterrupt

    monkeypatch.setattr(studio, "serve", serve)
    monkeypatch.setattr(studio.webbrowser, "open", found["opened"].append)
    return found


def test_the_address_is_printed_and_ctrl_c_ends_it(pixkit, built, served, monkeypatch):
    def then(server):
        served["url"], served["about"] = server.url, server.studio.about()
        served["image"] = server.studio.image(ImageAsked(split="test", number=3))["levels"]

    served["then"] = then
    outcome = pixkit("studio", built, "--port", 0)
    assert outcome.code == 130
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[\w-]{32}/\n", outcome.out)
    assert outcome.out.strip() == served["url"]
    assert served["opened"] == []  # this is no terminal
    assert served["about"]["data"] and len(served["image"]) == 64
    monkeypatch.setattr(studio, "is_terminal", lambda stream: True)
    outcome = pixkit("studio", built, "--port", 0, "--json", "-q")
    assert json.loads(outcome.out) == {"run": str(built), "url": served["url"]}
    assert served["opened"] == [served["url"]]
    assert pixkit("studio", built, "--port", 0, "--no-browser").code == 130
    assert len(served["opened"]) == 1


def test_a_port_that_is_taken_is_an_error(pixkit, built, served):
    def then(server):
        served["outcome"] = pixkit("studio", built, "--port", server.server_address[1])

    served["then"] = then
    pixkit("studio", built, "--port", 0)
    assert served["outcome"].code == 2
    assert "--port: the page cannot be served there" in served["outcome"].err
