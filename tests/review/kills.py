"""`crowdqc review` as a process of its own, killed at random moments while decisions are posted."""

import http.client
import itertools
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request

ITEMS = 8
_JSON = {"Content-Type": "application/json"}


def serve(study):
    """The command: process, address of its root, and what opens addresses as the page would."""
    words = [sys.executable, "-m", "crowdqc", "review", str(study), "--reviewer", "ann"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip()
    if not address:
        raise RuntimeError(process.communicate()[1])
    root = address.partition("?")[0]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.addheaders = [("Origin", root.rstrip("/"))]
    opener.open(address).read()
    return process, root, opener


def kill_while_deciding(study, *, times, rng):
    """Texts of the decisions that the page called saved, in order; the server is killed `times`."""
    saved, numbers = [], itertools.count()
    for _ in range(times):
        process, root, opener = serve(study)
        killer = threading.Timer(rng.uniform(0, 0.5), process.kill)
        try:
            for turn in itertools.count():
                decide(opener, root, number := next(numbers))
                saved.append(f"decision {number}")
                if turn == 0:  # from now on the server is killed at any moment
                    killer.start()
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            process.wait(timeout=60)
        finally:
            killer.cancel()
            process.stdout.close()
            process.stderr.close()
    return saved


def decide(opener, root, number):
    place = f"{root}api/item/{number % ITEMS}"
    item = json.load(opener.open(place))
    entry = {"decision": "skip", "shown": f"decision {number}", "seen": item["seen"]}
    body = json.dumps({**entry, "inputs": item["inputs"]}).encode()
    opener.open(urllib.request.Request(place, body, _JSON)).read()  # noqa: S310
