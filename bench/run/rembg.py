"""Serves masks of rembg to focal-bench: a line of JSON in, a line of JSON out.

    python rembg.py MODEL_FILE THREADS PROVIDER,…

In:  {"in": path of a picture, "out": path for the mask}
Out: {"decode", "pre", "run", "post", "encode", "infer", "total"} in
milliseconds, or {"error"}. The steps are those of rembg.remove(only_mask=True)
with its session for a model of one's own, u2net_custom; they are called one by
one so that each can be timed. The first line out is {"ready", "rembg",
"onnxruntime", "provider"}.
"""

import io
import json
import sys
import time

answers, sys.stdout = sys.stdout, sys.stderr  # libraries print where they like


def say(**what):
    print(json.dumps(what), file=answers, flush=True)


import importlib.metadata

import onnxruntime
from PIL import Image, ImageOps
from rembg import new_session


class Timed:
    """The session's runtime, which notes how long it ran."""

    def __init__(self, inner):
        self.inner, self.before, self.ran = inner, 0.0, 0.0

    def run(self, *args, **kwargs):
        self.before = time.perf_counter()
        try:
            return self.inner.run(*args, **kwargs)
        finally:
            self.ran = time.perf_counter() - self.before

    def __getattr__(self, name):
        return getattr(self.inner, name)


def main():
    import os

    # rembg reads the number of threads from here.
    os.environ["OMP_NUM_THREADS"] = sys.argv[2]
    session = new_session("u2net_custom", model_path=sys.argv[1], providers=sys.argv[3].split(","))
    session.inner_session = timed = Timed(session.inner_session)
    say(ready=True, rembg=importlib.metadata.version("rembg"), onnxruntime=onnxruntime.__version__, provider=timed.get_providers()[0])
    for line in sys.stdin:
        try:
            say(**one(session, timed, json.loads(line)))
        except Exception as e:  # one picture's failure is that picture's
            say(error=f"{type(e).__name__}: {e}")


def one(session, timed, job):
    with open(job["in"], "rb") as f:
        data = f.read()
    start = time.perf_counter()
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    image.load()
    decoded = time.perf_counter()
    mask = session.predict(image)[0]
    inferred = time.perf_counter()
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    encoded = time.perf_counter()
    with open(job["out"], "wb") as f:
        f.write(buffer.getvalue())
    infer = inferred - decoded
    pre = timed.before - decoded
    seconds = dict(decode=decoded - start, pre=pre, run=timed.ran, post=infer - pre - timed.ran, encode=encoded - inferred, infer=infer, total=encoded - start)
    return {k: round(v * 1000, 3) for k, v in seconds.items()}


main()
