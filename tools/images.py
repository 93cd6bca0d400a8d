# SPDX-License-Identifier: Apache-2.0
"""``python tools/images.py``: build the cluster's images from images/Containerfile, with no daemon and no registry.

buildah runs the same Containerfile that docker and podman do. ``--base debian`` makes the base image here, out of
Debian's packages; without it, BASE of the Containerfile is pulled. Layers are kept in the user's cache folder, so that
a build with nothing changed takes seconds. Written are docker archives, for ``ctr images import`` or ``docker load``.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("operator", "launcher", "node", "worker")
SUITE = "bookworm"
DEADLINE_SECONDS = 3600.0

# No shell and no package manager, whose scripts therefore never ran: the certificates' bundle is made here.
RUN_PACKAGES = "base-files,ca-certificates,libgcc-s1,libstdc++6,media-types,netbase,python3,tzdata"
RUN_LEAVES_OUT = (
    *("bin/[!p]*", "bin/p[!y]*", "bin/py[!t]*", "sbin/*", "lib/dpkg", "lib/python3.11/pydoc_data"),
    *("share/bash-completion", "share/ca-certificates", "share/debconf", "share/dpkg", "share/info", "share/lintian"),
    *("share/locale", "share/man", "share/perl5"),
)
RUN_OPTIONS = (
    "--variant=extract",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    f"--include={RUN_PACKAGES}",
    '--extract-hook=cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"/etc/ssl/certs/ca-certificates.crt',
    f'--extract-hook=cd "$1"/usr && rm -rf {" ".join(RUN_LEAVES_OUT)}',
    '--extract-hook=find "$1"/usr/share/doc ! -type d ! -name copyright -delete',
)
BUILD_OPTIONS = ("--variant=minbase", "--include=binutils,python3-venv")

PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
"""What a build needs of this machine's pip configuration, apart from ``cert``; the rest is about this machine."""
_STAGE = re.compile(r"\[(?P<number>\d+/\d+)\] STEP 1/\d+: FROM \S+(?: AS (?P<name>\S+))?$")
"""How buildah begins a stage."""
CERTIFICATES = "/run/secrets/certificates"


class BuildError(Exception):
    """An image can't be built; the message is a sentence."""


@dataclass(frozen=True)
class Secret:
    """A file that a build step sees and no layer holds."""

    name: str
    path: Path


def pip_configuration(listing: str) -> tuple[str, str]:
    """Return a pip.conf for the build and the path of the certificates that it names ("": none).

    Args:
        listing: what ``pip config list`` prints, lines of ``section.option='value'``; section ``:env:`` goes first.
    """
    options: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, separator, value = line.partition("=")
        if separator:
            options[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    certificates = options.get("cert", "")
    lines = [f"{name} = {' '.join(options[name].split())}" for name in PIP_OPTIONS if name in options]
    if certificates:
        lines.append(f"cert = {CERTIFICATES}")
    return "\n".join(["[global]", *lines, ""]), certificates


@contextlib.contextmanager
def pip_secrets() -> Iterator[tuple[Secret, ...]]:
    """Yield this machine's way to its package registry as secrets of a build."""
    listing = run([sys.executable, "-m", "pip", "config", "list"])
    configuration, certificates = pip_configuration(listing)
    with tempfile.TemporaryDirectory() as folder:  # 0700: the address may hold a password
        file = Path(folder) / "pip.conf"
        file.write_text(configuration, encoding="utf-8")
        found = (Secret("certificates", Path(certificates)),) if certificates else ()
        yield (Secret("pip", file), *found)


def install_missing(programs: Sequence[str]) -> None:
    """Install what a build runs, from Debian's packages of the same names, where we are root and there is apt-get.

    Raises:
        BuildError: apt-get fails.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return  # run() names what is missing
    say(f"Installing {' '.join(missing)} ...")
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        run(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *arguments])


def run(argv: Sequence[str], log: Path | None = None) -> str:
    """Run a program to its end and return its stdout; with ``log`` its output goes there, and stages to the terminal.

    Raises:
        BuildError: it is not installed, fails, or takes too long.
    """
    if shutil.which(argv[0]) is None:
        raise BuildError(f"{argv[0]} is not installed. On Debian or Ubuntu: sudo apt-get install buildah mmdebstrap")
    if log is None:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, cwd=ROOT, check=False)
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{argv[0]} took more than {DEADLINE_SECONDS:g} s and was ended.") from error
        if done.returncode:
            raise BuildError(f"{argv[0]} {argv[1]} ended with code {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        lines: list[str] = []
        deadline = threading.Timer(DEADLINE_SECONDS, process.kill)
        deadline.start()
        try:
            for line in process.stdout:
                file.write(line)
                lines.append(line)
                if stage := _STAGE.match(line):
                    say(f"  {stage['number']} {stage['name'] or 'the image'}")
        finally:
            deadline.cancel()
    if process.returncode:
        raise BuildError(f"{argv[0]} ended with code {process.returncode} ({log}):\n{''.join(lines[-30:])}")
    return lines[-1]


def say(text: str) -> None:
    """Tell how far the build is."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Wait until no other build uses the store: their archives would mix."""
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build of images runs; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Builder:
    """buildah with a store of its own."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        # chroot: no runtime, no daemon and no control groups are needed
        store = ("--root", str(cache / "store"), "--runroot", str(cache / "run"), "--storage-driver", "overlay")
        self._buildah = ("buildah", *store)
        cache.mkdir(parents=True, exist_ok=True)

    def debian(self, name: str, options: Sequence[str]) -> str:
        """Return the name of an image made of Debian packages; it is made once a recipe."""
        recipe = hashlib.sha256("\0".join((SUITE, *options)).encode()).hexdigest()[:12]
        image = f"localhost/accelchain-{name}:{recipe}"
        if not self._inspect(image):
            say(f"{image}: fetching Debian packages ...")
            with tempfile.TemporaryDirectory(dir=self._cache) as folder:
                archive = Path(folder) / "root.tar"
                run(["mmdebstrap", *options, SUITE, str(archive)])
                container = run([*self._buildah, "from", "scratch"]).strip()
                run([*self._buildah, "add", "--quiet", container, str(archive), "/"])
                run([*self._buildah, "commit", "--quiet", "--rm", container, image])
        return image

    def forget(self) -> None:
        """Remove all layers that were kept."""
        run([*self._buildah, "rm", "--all"])
        run([*self._buildah, "rmi", "--all", "--force"])

    def bases(self, base: str) -> dict[str, str]:
        """Return the Containerfile's arguments for ``base``: an image, ``debian``, or "" for its own default."""
        if base == "debian":
            return {
                "BASE": self.debian("base", RUN_OPTIONS),
                "BUILD_BASE": self.debian("build-base", BUILD_OPTIONS),
            }
        return {"BASE": base} if base else {}

    def build(self, target: str, image: str, arguments: Mapping[str, str], secrets: Sequence[Secret], log: Path) -> str:
        """Build one target of the Containerfile and return its image id."""
        argv = [*self._buildah, "bud", "--isolation", "chroot", "--layers", "--format", "docker", "--target", target]
        argv += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        argv += [f"--secret=id={secret.name},src={secret.path}" for secret in secrets]
        argv += ["--file", "images/Containerfile", "--ignorefile", "images/Containerfile.dockerignore"]
        return run([*argv, "--tag", image, "."], log).strip()

    def save(self, image: str, archive: Path) -> None:
        """Write an image as a docker archive, whole or not at all."""
        part = archive.with_suffix(".part")
        part.unlink(missing_ok=True)
        run([*self._buildah, "push", "--quiet", image, f"docker-archive:{part}:{image}"])
        os.replace(part, archive)

    def _inspect(self, image: str) -> str:
        with contextlib.suppress(BuildError):  # it is not there
            return run([*self._buildah, "inspect", "--type", "image", image])
        return ""


def build(names: Sequence[str], base: str, tag: str, output: Path, cache: Path, *, fresh: bool = False) -> None:
    """Build the named images and write ``<output>/<name>.tar`` where the image changed.

    Raises:
        BuildError: a tool is missing or a step failed.
    """
    builder = Builder(cache)
    output.mkdir(parents=True, exist_ok=True)
    with alone(cache), pip_secrets() as secrets:
        if fresh:
            builder.forget()
        arguments = builder.bases(base)
        for name in names:
            started = time.monotonic()
            image, archive, note = f"localhost/accelchain-{name}:{tag}", output / f"{name}.tar", output / f"{name}.json"
            say(f"{image}: building ...")
            about = {"image": image, "id": builder.build(name, image, arguments, secrets, output / f"{name}.log")}
            known = json.loads(note.read_text(encoding="utf-8")) if note.exists() and archive.exists() else None
            if known != about:
                note.unlink(missing_ok=True)
                builder.save(image, archive)
                note.write_text(json.dumps(about), encoding="utf-8")
            what = "unchanged" if known == about else f"{archive.stat().st_size / 1e6:.0f} MB"
            say(f"{image}: {archive} ({what}, {time.monotonic() - started:.1f} s)")


def main(argv: Sequence[str] | None = None) -> int:
    """Build; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools/images.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(IMAGES)} (default: all)")
    parser.add_argument("--base", default="", help="an image, or `debian`: make one from Debian's packages")
    parser.add_argument("--tag", default="dev", help="tag of the images (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "images", help="folder of the archives")
    parser.add_argument("--fresh", action="store_true", help="forget kept layers: frees space, fetches newest packages")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(IMAGES):
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "accelchain" / "images"
    try:
        install_missing(["buildah", *(["mmdebstrap"] if options.base == "debian" else [])])
        build(options.names or IMAGES, options.base, options.tag, options.output, cache, fresh=options.fresh)
    except BuildError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
