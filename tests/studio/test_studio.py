"""The studio over HTTP: what it draws is what `complete` draws, and who is refused."""

import http.client
import json
import math
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.image import ImageSpec, Palette
from pixkit.samplers import Cached
from pixkit.studio import Studio, StudioServer, serve, studio, walk
from pixkit.studio.asked import DrawAsked, ImageAsked, SightAsked
from pixkit.studio.desk import Cancelled
from pixkit.studio.events import ended
from pixkit.studio.server import HEADERS
from pixkit.tasks.complete import complete
from pixkit.tasks.drawer import open_drawer
from pixkit.testing import named, plain_backbone, randomise

GREY, COLOUR = ImageSpec(1, 4, 4, 3), ImageSpec(3, 2, 3, 4)


def model(spec=GREY, classes=None, kind="autoregressive", **config):
    if classes is not None:
        config["context"] = {"type": "label", "size": 3}
        config["backbone"] = {"type": "gated_pixelcnn", "width": 6, "layers": 1, "first_kernel": 3}
    built = named("model", kind, **{"backbone": plain_backbone(), **config}).build(spec, classes).double().eval()
    randomise(built, seed=1)
    return built


class Page:
    """A page that is open."""

    def __init__(self, server):
        self.server, self.studio = server, server.studio
        self.host = f"127.0.0.1:{server.server_address[1]}"

    def send(self, place, body=None, *, path=None, method=None, **headers):
        """Status, headers and body of the answer."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Content-Type": "application/json"} if body is not None else {}
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"/{self.server.token}/{place}" if path is None else path
        connection.request(method or ("GET" if body is None else "POST"), path, data, own)
        answer = connection.getresponse()
        assert answer.chunked is (answer.length is None), "whoever reads would wait for the end"
        text = answer.read()
        connection.close()
        if answer.status != 501:
            assert HEADERS.items() <= {**answer.headers}.items()
        return answer.status, answer.headers, text

    def told(self, place, body=None):
        """What a page is told."""
        status, headers, text = self.send(place, body)
        assert (status, headers["Content-Type"]) == (200, "application/json"), text
        return json.loads(text)

    def draw(self, **asked):
        """The events of a drawing."""
        status, headers, text = self.send("draw", {"known": [], "levels": [], **asked})
        assert (status, headers["Content-Type"]) == (200, "application/x-ndjson"), text
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def opened(drawn_from):
    server = StudioServer(Studio(open_drawer(drawn_from), "tiny"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Page(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def page():
    with opened(model()) as page:
        yield page


def images(events, given, count, channels=1):
    """The images that events bring, [count, C, S], {site: levels} given in place; how often each site came."""
    sites = max([*given, *(site for event in events for site in event.get("sites", ()))]) + 1
    found, came = torch.full((count, sites, channels), -1), torch.zeros(sites, dtype=torch.int64)
    for site, levels in given.items():
        found[:, site] = torch.tensor(levels)
    for event in events:
        if event["event"] == "pixels":
            came[event["sites"]] += 1
            assert [len(each) for each in event["levels"]] == [channels * len(event["sites"])] * count
            found[:, event["sites"]] = torch.tensor(event["levels"]).view(count, -1, channels)
    return found.transpose(1, 2), came


@pytest.mark.parametrize("built", [
    model, lambda: model(COLOUR), lambda: model(classes=3),
    lambda: model(ordering={"type": "hilbert"}),
    lambda: model(COLOUR, head={"type": "logistic_mixture", "components": 2}),
], ids=["grey", "colour", "labels", "hilbert", "mixture"])  # fmt: skip
def test_a_completion_is_that_of_complete(built):
    drawn_from = built()
    spec, label = drawn_from.spec, 2 if drawn_from.labelled else None
    image = torch.randint(spec.levels, (1, *spec.shape), generator=torch.Generator().manual_seed(3))
    for sites in ([0, 1, 2], [1, spec.sites - 1]):
        known = torch.zeros(spec.shape, dtype=torch.bool).flatten(1)
        known[:, sites] = True
        known = known.view(spec.shape)
        there = image[0].flatten(1).T[sites]
        with opened(drawn_from) as page:
            events = page.draw(
                known=sites, levels=there.flatten().tolist(), count=2, seed=5, temperature=0.8, label=label
            )
        expected = complete(drawn_from, image, known, 2, seed=5, temperature=0.8, label=label)
        found, came = images(events, dict(zip(sites, there.tolist(), strict=True)), 2, spec.channels)
        assert torch.equal(found.view(2, *spec.shape), expected.samples)
        assert came[sites].sum() == 0
        start, end = events[0], events[-1]
        assert (start["event"], end["event"], start["exact"]) == ("start", "end", expected.exact)
        assert end["uncertainty"] == pytest.approx(expected.uncertainty.flatten().tolist())
        assert end["entropy"] == (None if expected.entropy is None else pytest.approx(expected.entropy))
        network = drawn_from.completing(known)
        with torch.no_grad():
            nats = -network.log_prob(expected.samples, None if label is None else torch.tensor([label, label]))
        assert end["nats"] == pytest.approx(nats.tolist())
        assert end["bits"] == pytest.approx([spec.bits(each) for each in nats.tolist()])
        if expected.exact:
            conditional = complete(drawn_from, expected.samples[1:], known, 1, label=label).nats
            assert end["drawn"][1] == pytest.approx(conditional)
            assert [end["known"] + each for each in end["drawn"]] == pytest.approx(end["nats"])
        else:
            assert (end["known"], end["drawn"]) == (None, None)
        assert (start["steps"], end["rate"]) == (None, spec.rate) and 0 <= end["seconds"] < 600
        assert "executor" in end["summary"]


def test_the_plan_is_made_before_anybody_draws(one_thread):
    drawn_from, threads = model(classes=2), []
    opened = Studio(open_drawer(drawn_from), "tiny")
    torch.set_num_threads(2)
    opened.prepare()
    (plan,) = drawn_from.network.kept.entries
    opened.draw(DrawAsked(known=[0], levels=[0], label=1), lambda event: threads.append(torch.get_num_threads()))
    torch.set_num_threads(1)
    about = opened.about()
    assert (about["labels"], about["unlabelled"]) == (["0", "1"], False)
    assert [*drawn_from.network.kept.entries] == [plan]
    assert (threads[0], threads[1], threads[-1]) == (2, 1, 2), "one while pixels are drawn"
    with opened.desk.working() as job:
        closing, _ = in_thread(opened.desk.close)
        assert job._ended.wait(60)
        with pytest.raises(Cancelled):
            job.check()
    closing.join(60)
    assert opened.desk._turn.locked()


def test_an_image_that_the_model_takes_for_impossible_has_no_nats():
    end = ended(COLOUR, [math.inf, 18.0], drawn=[math.nan])
    assert (end["nats"], end["bits"]) == ([None, 18.0], [None, COLOUR.bits(18.0)])
    assert (end["drawn"], end["known"]) == ([None], None)


def test_another_order_than_the_usual_one_is_told():
    drawn_from, other = model(), model(ordering={"type": "hilbert"}).network
    drawn_from.completing = lambda known: other if known.any() else drawn_from.network
    events = []
    Studio(open_drawer(drawn_from), "tiny").draw(DrawAsked(known=[0], levels=[0]), events.append)
    assert (events[0]["ordering"], events[0]["steps"]) == ("hilbert", other.ordering.steps.flatten().tolist())
    for known, network in (([], drawn_from.network), ([0], other)):
        sees = Studio(open_drawer(drawn_from), "tiny").sight(SightAsked(pixel=(0, 1, 1), known=known))
        before = network.ordering.steps < network.ordering.steps[0, 1, 1]
        assert sorted(sees["seen"] + sees["blind"]) == before.flatten().nonzero().flatten().tolist()
    drawn_from.completing = lambda known: other
    about = Studio(open_drawer(drawn_from), "tiny").about()
    assert (about["ordering"], about["steps"]) == ("hilbert", other.ordering.steps.flatten().tolist())


def test_pixels_come_in_the_models_order(page, monkeypatch):
    monkeypatch.setattr("pixkit.studio.events.EVERY", 0)
    events = page.draw(known=[0], levels=[2])
    sites = [event["sites"] for event in events if event["event"] == "pixels"]
    assert sites == [[site] for site in range(1, 16)]
    monkeypatch.setattr("pixkit.studio.events.EVERY", 60)
    sites = [event["sites"] for event in page.draw(known=[0], levels=[2]) if event["event"] == "pixels"]
    assert sites == [[1], [*range(2, 16)]], "the first at once"


def test_a_network_without_a_plan_is_walked_by_whole_passes(monkeypatch):
    plan = model()
    expected = walk_of(plan)
    monkeypatch.setattr(Cached, "prepare", lambda self, network, known: (_ for _ in ()).throw(walk.REFUSALS[0]("none")))
    found = walk_of(plan)
    assert torch.equal(found.images, expected.images)
    torch.testing.assert_close(found.params, expected.params)
    assert found.summary == "by whole passes, since no plan can be made: none"
    monkeypatch.setattr(studio, "prepared", lambda network, known: Cached.prepare(None, network, known))
    with pytest.raises(UsageError, match="cannot be told") as caught:
        Studio(open_drawer(plan), "tiny").sight(SightAsked(pixel=(0, 1, 1), known=[]))
    assert caught.value.found == "none"


def walk_of(drawn_from):
    from pixkit.noise import Noise
    from pixkit.samplers import Known

    mask = torch.zeros(GREY.shape, dtype=torch.bool)
    mask[0, 0] = True
    return walk.walk(drawn_from.network, Known(mask, torch.ones(1, *GREY.shape).long()), Noise(1, range(2)))


def test_what_cannot_complete_draws_whole_images():
    gated = {"type": "gated_pixelcnn", "width": 6, "layers": 1, "first_kernel": 3}
    drawn_from = model(kind="pixelvae", backbone=gated, latent=2, features=4, encoder={"width": 2, "hidden": 4})
    with opened(drawn_from) as page:
        about = page.told("about")
        assert (about["completes"], about["any_part"]) == (False, False)
        assert "cannot continue an image" in about["reason"]
        assert (about["ordering"], about["steps"]) == ("raster", list(range(16)))
        events = page.draw(count=2, seed=4)
        assert page.send("draw", {"known": [0], "levels": [1]})[0] == 400
        pixel = {"pixel": (0, 1, 1), "known": []}
        assert page.told("sight", pixel)["seen"] == page.studio.sight(SightAsked(**pixel))["seen"] != []
        page.studio.prepare()
    assert torch.equal(images(events, {}, 2)[0].view(2, *GREY.shape), drawn_from.sample(2, seed=4))
    assert events[0] == {"event": "start", "exact": True, "ordering": None, "steps": None}
    assert events[1:17] == [{"event": "progress", "done": done, "total": 16} for done in range(1, 17)]
    assert (events[-1]["nats"], events[-1]["uncertainty"]) == (None, None) and 0 <= events[-1]["seconds"] < 600


def test_what_draws_whole_images_may_say_how_likely_they_are(monkeypatch):
    drawn_from, events = model(classes=2), []
    monkeypatch.setattr(type(drawn_from), "completes", False)
    Studio(open_drawer(drawn_from, temperature=0.7), "tiny").draw(
        DrawAsked(known=[], levels=[], count=2, seed=3, temperature=0.9, label=1), events.append
    )
    expected = drawn_from.sample(2, context=torch.tensor([1, 1]), seed=3, temperature=0.9)
    assert torch.equal(images(events, {}, 2)[0].view(2, *GREY.shape), expected)
    nats = -drawn_from.log_prob(expected, torch.tensor([1, 1]))
    assert events[-1]["nats"] == pytest.approx(nats.tolist())
    assert events[-1]["bits"] == pytest.approx([GREY.bits(each) for each in nats.tolist()])
    monkeypatch.setattr(studio, "networks_in", lambda model: {})
    without = Studio(open_drawer(drawn_from), "tiny")
    assert (without.about()["ordering"], without.about()["steps"]) == (None, None)
    with pytest.raises(UsageError, match="tiny: the model has no autoregressive network"):
        without.sight(SightAsked(pixel=(0, 1, 1), known=[]))


def test_the_page_is_told_of_the_model(page):
    assert page.told("about") == {
        **{"name": "tiny", "channels": 1, "height": 4, "width": 4, "levels": 3, "palette": None, "blank": 0},
        **{"completes": True, "reason": None, "any_part": False, "ordering": "raster", "steps": list(range(16))},
        **{"labels": None, "unlabelled": False, "temperature": 1.0, "most": 16, "data": False},
    }


def test_labels_and_palettes_are_told():
    spec = ImageSpec(1, 2, 2, 3, Palette.of([[255, 0, 0], [0, 0, 0], [0, 0, 255]]))
    labelled = model(spec, classes=2)
    labelled.class_names = ("cat", "dog")
    about = Studio(open_drawer(labelled), "tiny").about()
    assert about["labels"] == ["cat", "dog"]
    assert (about["palette"], about["blank"]) == ([[255, 0, 0], [0, 0, 0], [0, 0, 255]], 1)


def test_any_sites_may_be_given_to_an_any_order_model():
    for spec in (GREY, COLOUR):
        backbone = {"type": "transformer", "width": 8, "heads": 2, "blocks": 1}
        about = Studio(open_drawer(model(spec, backbone=backbone, kind="any_order")), "tiny").about()
        assert (about["any_part"], about["ordering"]) == (True, "any")


def test_what_a_pixel_sees_is_its_receptive_field(page):
    for pixel in ((0, 2, 2), (0, 3, 0)):
        found = page.told("sight", {"pixel": pixel, "known": []})
        assert found["seen"] == page.studio.model.receptive_field(pixel).flatten().nonzero().flatten().tolist()
        before = set(range(pixel[1] * 4 + pixel[2]))
        assert {*found["seen"]} | {*found["blind"]} == before
        assert not {*found["seen"]} & {*found["blind"]}
    for pixel, known in ((0, 4, 0), []), ((0, 1, 0), [16]):
        assert page.send("sight", {"pixel": pixel, "known": known})[0] == 400


def test_images_of_the_data_are_told_site_by_site(page, monkeypatch):
    for number in (-1, 10**9):
        status, _, text = page.send("image", {"split": "test", "number": number})
        assert (status, json.loads(text)["error"].partition(":")[0]) == (400, "number")
    asked = []
    image = torch.arange(12).view(1, 3, 2, 2)
    given = replace(page.studio.drawer)
    monkeypatch.setattr(type(given), "images", lambda self, name: asked.append(name) or image)
    assert page.told("image", {"split": "test", "number": 3})["levels"] == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert asked == ["test:3"]


@pytest.mark.parametrize(("asked", "why"), [
    ({"known": [0]}, "levels do not fit"), ({"known": [0, 0], "levels": [1, 1]}, "no such sites"),
    ({"known": [16], "levels": [1]}, "no such sites"), ({"known": [-1], "levels": [1]}, "no such sites"),
    ({"known": [0], "levels": [3]}, "no such level"), ({"known": [0], "levels": [-1]}, "no such level"),
    ({"known": [*range(16)], "levels": [0] * 16}, "nothing is missing"),
    ({"label": 0}, "takes no labels"), ({"temperature": 0.0}, "temperature"), ({"temperature": 1e300}, "temperature"),
    ({"count": 0}, "count"), ({"count": 17}, "count"), ({"count": 1.5}, "count"), ({"count": "1"}, "count"),
    ({"count": True}, "count"), ({"seed": -1}, "seed"), ({"seed": 2**53}, "seed"), ({"path": "/etc/passwd"}, "path"),
    ({"known": None}, "known"), ({"known": [0.0], "levels": [1]}, "known"), ({"label": "cat"}, "label"),
    ({"label": 10**30}, "label"),
], ids=str)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(page, asked, why):
    status, _, text = page.send("draw", {"known": [], "levels": [], **asked})
    assert status == 400
    assert why in json.loads(text)["error"]


def test_what_may_be_asked_and_what_it_is_if_nothing_is_said():
    asked = DrawAsked(known=[], levels=[])
    assert asked.model_dump(exclude={"known", "levels"}) == {"count": 1, "seed": 0, "temperature": 1.0, "label": None}
    for limits in ({"count": 1, "seed": 0}, {"count": 16, "seed": 2**53 - 1}):
        assert DrawAsked(known=[], levels=[], **limits).model_dump().items() >= limits.items()
    assert [ImageAsked(split="test", number=number).number for number in (0, 10**9 - 1)] == [0, 10**9 - 1]


@pytest.mark.parametrize(("status", "request_"), [
    (403, {"Host": "evil.example"}), (403, {"Host": "127.0.0.1.evil.example:80"}), (403, {"Host": ""}),
    (403, {"Host": "["}), (403, {"Origin": "http://evil.example"}), (403, {"Origin": "null"}),
    (403, {"Origin": "https://127.0.0.1:1"}), (403, {"path": "/"}), (403, {"path": "/wrong/draw"}),
    (403, {"path": "/draw"}),
    (415, {"Content_Type": "text/plain"}), (411, {"Content_Length": "x"}), (411, {"Content_Length": "-1"}),
    (413, {"Content_Length": "100000"}), (413, {"Content_Length": "9" * 5000}),
    (411, {"Transfer_Encoding": "chunked"}),
    (400, {"body": b"{"}), (400, {"body": b"[]"}), (400, {"body": b"[" * 4000}), (400, {"body": b"\xff"}),
    (400, {"body": b'{"known": [], "levels": [], "temperature": NaN}'}),
    (404, {"place": "other"}), (404, {"place": "../server.py"}), (404, {"place": "page/index.html"}),
    (405, {"place": "about"}), (405, {"place": "draw", "method": "GET"}), (501, {"method": "PUT"}),
    (400, {"place": "image", "body": {"split": "/etc/passwd", "number": 0}}),
    (400, {"place": "image", "body": {"split": "test", "number": 0}}),
], ids=str)  # fmt: skip
def test_who_may_not_ask_is_refused(page, status, request_):
    asked = {"place": "draw", "body": {"known": [], "levels": []}} | request_
    found, headers, text = page.send(asked.pop("place"), asked.pop("body"), **asked)
    assert found == status, text
    assert "Access-Control-Allow-Origin" not in headers
    assert page.server.token.encode() not in text


def test_a_request_is_no_longer_than_an_image_takes(page):
    body = json.dumps({"known": [*range(15)], "levels": [2] * 15}).encode().ljust(page.server.largest)
    assert [page.send("draw", body + more)[0] for more in (b"", b" ")] == [200, 413]


def test_a_page_elsewhere_on_this_machine_may_be_a_tunnel(page):
    host = "localhost:9999"
    assert page.send("draw", {"known": [], "levels": []}, Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize("head", [
    "GET /TOKEN/ HTTP/1.1\r\nHost: localhost\r\nHost: localhost", "GET /TOKEN/ HTTP/1.1",
    "GET /\xe9/ HTTP/1.1\r\nHost: localhost",
    "GET http://localhost/TOKEN/ HTTP/1.1\r\nHost: localhost",
])  # fmt: skip
def test_two_hosts_or_none_or_a_strange_path_are_refused(page, head):
    with socket.create_connection(page.server.server_address) as line:
        line.sendall(f"{head}\r\n\r\n".replace("TOKEN", page.server.token).encode("latin-1"))
        assert line.recv(100).startswith(b"HTTP/1.1 403")


def test_the_page_refers_to_nothing_outside(page):
    status, headers, html = page.send("")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert re.findall(r'(?:src|href)="([^"]+)"', html.decode()) == ["data:,", "studio.css", "studio.js"]
    assert not re.search(rb"<script>|<style>| style=| on[a-z]+=|http:|https:", html)
    names, imported = {"index.html", "studio.css", "studio.js"}, {"studio.js"}
    for name in sorted(file.name for file in files("pixkit.studio").joinpath("page").iterdir()):
        status, headers, text = page.send(name)
        assert status == 200
        kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.rpartition(".")[2]]
        assert headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(rb"https?:|[\"' (]//[a-z]|@import|url\(|innerHTML|eval\(", text)
        imported |= {*re.findall(r'from "\./([a-z]+\.js)"', text.decode())}
        names.add(name)
    assert names == {"index.html", "studio.css"} | imported


@contextmanager
def held(page, monkeypatch):
    """Drawings wait at their first pixel until they are let go; `began` counts those that came so far."""
    go, began, whole = threading.Event(), threading.Semaphore(0), page.studio.draw

    def waiting(asked, tell):
        began.release()
        assert go.wait(60)
        whole(asked, tell)

    with monkeypatch.context() as patched:
        patched.setattr(page.studio, "draw", waiting)
        yield go, began


def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_a_drawing_is_cancelled(page, monkeypatch):
    with held(page, monkeypatch) as (go, began):
        thread, found = in_thread(page.draw)
        assert began.acquire(timeout=60)
        assert page.told("cancel", {}) == {}
        go.set()
        thread.join(60)
    assert found == [[{"event": "cancelled"}]]
    assert page.draw()[-1]["event"] == "end"


def test_a_newer_drawing_takes_an_older_ones_place(page, monkeypatch):
    with held(page, monkeypatch) as (go, began):
        first, replaced = in_thread(page.draw)
        assert began.acquire(timeout=60)
        before = page.studio.desk._newest
        later = []
        for seed in (1, 2):
            later.append(in_thread(lambda seed=seed: page.draw(seed=seed)))
            while page.studio.desk._newest is before:
                first.join(0.01)
            before = page.studio.desk._newest
        go.set()
        for thread in (first, *(thread for thread, _ in later)):
            thread.join(60)
        assert began.acquire(timeout=60) and not began.acquire(blocking=False), "what waited is not begun"
    assert replaced == later[0][1] == [[{"event": "cancelled"}]]
    assert later[1][1][0][-1]["event"] == "end"


def test_an_error_while_drawing_ends_the_stream(page, monkeypatch):
    def broken(asked, tell):
        raise MemoryError("none left")

    monkeypatch.setattr(page.studio, "draw", broken)
    assert page.draw() == [{"event": "error", "error": "MemoryError: none left"}]


def test_what_is_no_json_is_an_error(page, monkeypatch):
    """Browsers could not read it."""
    monkeypatch.setattr(page.studio, "draw", lambda asked, tell: tell({"nats": math.nan}))
    (event,) = page.draw()
    assert event["event"] == "error" and event["error"].startswith("ValueError: Out of range float values")
    monkeypatch.setattr(page.studio, "about", lambda: {"temperature": math.inf})
    status, _, text = page.send("about")
    assert status == 500 and json.loads(text)["error"].startswith("ValueError: Out of range float values")


def test_many_may_ask_at_once(page):
    asked = [
        in_thread(lambda pixel=pixel: page.told("sight", {"pixel": [0, *divmod(pixel, 4)], "known": []}))
        for pixel in range(8)
    ]
    asked += [in_thread(lambda: page.told("about")) for _ in range(4)]
    for thread, found in asked:
        thread.join(60)
        assert len(found) == 1


def test_a_taken_port_is_named(page):
    port = page.server.server_address[1]
    with pytest.raises(UsageError, match=f"(?s)port: .*{port}.*--port 0"):
        StudioServer(page.studio, port)
    assert page.server.server_address[0] == "127.0.0.1"


def test_too_large_an_image_is_refused():
    Studio(open_drawer(model(ImageSpec(1, 1, 256, 2))), "tiny")
    for shape in ((1, 257), (257, 1)):
        with pytest.raises(UsageError, match=r"too large for the page[^$]*at most 256 pixels"):
            Studio(open_drawer(model(ImageSpec(1, *shape, 2))), "tiny")


def test_an_interrupt_ends_what_is_drawn_and_closes(monkeypatch):
    server = StudioServer(Studio(open_drawer(model()), "tiny"))

    def interrupted(poll_interval=0.5):
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve_forever", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serve(server)
    assert server.socket.fileno() == -1
    with pytest.raises(OSError):
        socket.create_connection(server.server_address, timeout=1)
