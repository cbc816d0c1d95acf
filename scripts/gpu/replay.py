"""Called by scripts/real/images: carries out the steps of a Dockerfile in folders,
for machines without a container engine.

    replay.py DOCKERFILE CONTEXT ROOTS BASE [NAME=VALUE...]

Every FROM becomes a copy of the bare system in BASE, the golang image with this
machine's Go; RUN runs in it by chroot, as root, with this machine's settings for
proxies and registries. NAME=VALUE is a build argument. When all steps are done the
entry point is started as the image's user, and its health check asked until it
says yes. Prints the size of the last folder, and what a registry would store of it: no
image may take more than MOST.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

# What a container engine would be told of the machine's network.
PASSED = re.compile(r"^(https?_proxy|no_proxy|PIP_.*|NPM_CONFIG_.*|GOPROXY|GONOSUMDB|GOSUMDB|GONOSUMCHECK|GOFLAGS|SSL_CERT_.*|REQUESTS_CA_BUNDLE)$", re.I)

MOST = 2.5e9  # bytes, compressed


def say(text):
    print(f"replay: {text}", file=sys.stderr, flush=True)


def steps(path):
    """The instructions of a Dockerfile, continuation lines joined, comments left out."""
    text = re.sub(r"\\\n(?:\s*#.*\n)*", " ", re.sub(r"(?m)^\s*#.*\n", "", path.read_text()))
    for step in text.splitlines():
        if step.strip():
            word, _, rest = step.strip().partition(" ")
            yield word.upper(), rest.strip()


class Stage:
    def __init__(self, root, image):
        self.root, self.image = root, image
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        self.dir, self.user, self.mounts = "/", None, []

    def host(self, path):
        return self.root / os.path.join(self.dir, path).lstrip("/")

    def mount(self, source, target):
        target = self.root / target.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, target], check=True)
        self.mounts.append(target)

    def unmount(self):
        for m in reversed(self.mounts):
            subprocess.run(["umount", "-l", m], check=False)
        self.mounts = []

    def command(self, *words):
        env = {**{k: v for k, v in os.environ.items() if PASSED.match(k)}, **self.env}
        who = [f"--userspec={self.user}:{self.user}"] if self.user else []
        inside = f'cd {shlex.quote(self.dir)} && exec "$@"'
        return ["chroot", *who, str(self.root), "/bin/sh", "-c", inside, "sh", *words], env

    def run(self, script):
        words, env = self.command("/bin/sh", "-c", script)
        subprocess.run(words, env=env, check=True)


def copy(arguments, stage, context, stages):
    words, source = shlex.split(arguments), context
    if words[0].startswith("--from="):
        source = stages[words.pop(0)[len("--from="):]].root
    *froms, to = words
    target = stage.host(to)
    for f in froms:
        path = source / f.lstrip("/")
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns(".git", ".deps", ".cache", "bin") if source == context else None
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            into = target / path.name if to.endswith("/") else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)


def begin(name, image, roots, base):
    root = roots / name
    subprocess.run(["rm", "-rf", root], check=True)
    subprocess.run(["cp", "-a", base, root], check=True)
    stage = Stage(root, image)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    for certificates in ("/etc/ssl/certs", "/usr/local/share/ca-certificates"):
        if pathlib.Path(certificates).is_dir():
            shutil.copytree(certificates, root / certificates.lstrip("/"), dirs_exist_ok=True)
    for device in ("/proc", "/dev"):
        stage.mount(device, device)
    if image.startswith("golang"):
        stage.mount("/usr/local/go", "/usr/local/go")
        # Downloads and objects of this machine, to be quick; their content decides.
        for name in ("GOMODCACHE", "GOCACHE"):
            folder = subprocess.run(["go", "env", name], check=True, capture_output=True, text=True).stdout.strip()
            stage.mount(folder, f"/cache/{name}")
            stage.env[name] = f"/cache/{name}"
        stage.env["PATH"] = "/usr/local/go/bin:" + stage.env["PATH"]
    return stage


def replay(path, context, roots, base, arguments):
    stages, stage, last = {}, None, {}
    try:
        for word, rest in steps(path):
            expand = lambda t: re.sub(r"\$\{?(\w+)\}?", lambda m: arguments.get(m[1], stage.env.get(m[1], m[0]) if stage else m[0]), t)
            say(f"{path.name}: {word} {rest[:100]}")
            if word == "ARG":
                name, _, value = rest.partition("=")
                arguments.setdefault(name, value)
                if stage:
                    stage.env[name] = arguments[name]
            elif word == "FROM":
                image, _, name = expand(rest).partition(" AS ")
                stage = begin(name or "last", image, roots, base)
                stages[name or "last"] = stage
            elif word == "WORKDIR":
                stage.dir = rest
                stage.host(".").mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                copy(rest, stage, context, stages)
            elif word == "RUN":
                stage.run(rest)
            elif word == "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    stage.env[name] = value
            elif word == "USER":
                stage.user = rest
            elif word in ("ENTRYPOINT", "CMD"):
                last[word] = json.loads(rest)
            elif word == "HEALTHCHECK":
                last[word] = json.loads(rest[rest.index("CMD") + 3:])
            elif word not in ("VOLUME", "EXPOSE"):
                sys.exit(f"replay: {word} is not known")
        start(stage, last)
    finally:
        for s in stages.values():
            s.unmount()
    unpacked = subprocess.run(["du", "-sm", "--exclude=proc", "--exclude=dev", stage.root], capture_output=True, text=True).stdout.split()[0]
    packed = compressed(stage.root)
    print(f"{path.name}: works, {unpacked} MB unpacked, {packed / 1e6:.0f} MB compressed", flush=True)
    if packed > MOST:
        sys.exit(f"replay: {path.name} takes more than {MOST / 1e6:.0f} MB compressed")


def compressed(root):
    """The bytes of a folder as layers are stored: tar and gzip, at its usual level."""
    tar = subprocess.Popen(["tar", "-C", root, "--exclude=./proc/*", "--exclude=./dev/*", "-cf", "-", "."], stdout=subprocess.PIPE)
    gzip = subprocess.Popen([shutil.which("pigz") or "gzip", "-6"], stdin=tar.stdout, stdout=subprocess.PIPE)
    tar.stdout.close()
    size = 0
    while block := gzip.stdout.read(1 << 20):
        size += len(block)
    if tar.wait() or gzip.wait():
        sys.exit(f"replay: {root} cannot be packed")
    return size


def start(stage, last):
    """Runs version, doctor, and the server until its health check says yes."""
    for what in (["version"], ["doctor"]):
        words, env = stage.command(*last["ENTRYPOINT"], *what)
        out = subprocess.run(words, env=env, capture_output=True, text=True)
        say(f"{what[0]} (exit {out.returncode}): {out.stdout}{out.stderr}")
    words, env = stage.command(*last["ENTRYPOINT"], *last["CMD"])
    server = subprocess.Popen(words, env=env)
    try:
        check, env = stage.command(*last["HEALTHCHECK"])
        for _ in range(60):
            if subprocess.run(check, env=env, capture_output=True).returncode == 0:
                say("the health check says yes")
                return
            if server.poll() is not None:
                break
            time.sleep(1)
        sys.exit("replay: the server does not get healthy")
    finally:
        server.terminate()
        server.wait(60)


def main():
    dockerfile, context, roots, base = map(pathlib.Path, sys.argv[1:5])
    replay(dockerfile, context, roots, base, dict(a.split("=", 1) for a in sys.argv[5:]))


main()
