"""How long the studio takes to complete the lower half of an image, from the request to the last byte, over HTTP.

The run's plan is made before, as it is when a page is opened; each completion is of another image, with another mask.

    python tests/benchmarks/studio.py RUN [--images 1] [--rounds 20] [--threads 2]
"""

import argparse
import http.client
import json
import threading
import time

import torch

from pixkit.studio import Studio, StudioServer
from pixkit.tasks.drawer import open_drawer


def completed(server, sites, count, seed):
    """Wall and process seconds of a request, and its last event."""
    spec = server.studio.spec
    asked = {"known": [*range(sites)], "levels": [0] * (sites * spec.channels), "count": count, "seed": seed}
    if server.studio.model.labelled:
        asked["label"] = 0
    began, busy = time.perf_counter(), time.process_time()
    connection = http.client.HTTPConnection(*server.server_address)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/{server.token}/draw", json.dumps(asked), headers)
    lines = connection.getresponse().read().splitlines()
    return time.perf_counter() - began, time.process_time() - busy, json.loads(lines[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    server = StudioServer(Studio(open_drawer(options.run, device="cpu"), options.run))
    began = time.perf_counter()
    server.studio.prepare()
    print(f"plan: {time.perf_counter() - began:.2f} s")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    half = server.studio.spec.sites // 2
    found = [completed(server, half + number, options.images, number + 1) for number in range(-1, options.rounds)]
    first, rest = found[0], found[1:]
    print(f"first: {first[0]:.3f} s by the clock, {first[1]:.3f} s of the processor")
    for name, place in (("by the clock", 0), ("of the processor", 1)):
        times = sorted(each[place] for each in rest)
        print(f"{options.images} images, {name}: median {times[len(times) // 2]:.3f} s, least {times[0]:.3f} s")
    print(rest[-1][2]["summary"])


if __name__ == "__main__":
    main()
