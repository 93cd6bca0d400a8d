# SPDX-License-Identifier: Apache-2.0
"""``python tools/manifests.py``: everything under manifests/ that is made of something else, after the CRDs.

| made | of |
|---|---|
| charts/accelchain-crds/templates | manifests/crds, which `accelchain.api.crd` writes |
| charts/accelchain/functiontypes | the manifests of the built-in functions |
| charts/accelchain/README.md | the comments of its values.yaml |
| install.yaml, functiontypes.yaml, kustomize/ | the chart, rendered by Helm |

Helm's library needs Python 3.12, which not everybody has. The rendered files carry a digest of the chart: where it is
right and Helm is not at hand, there is nothing to render.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from accelchain.api import FunctionType
from accelchain_runtime.registry import find

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "manifests"
CHART = MANIFESTS / "charts" / "accelchain"
CRD_TEMPLATES = CHART / "charts" / "accelchain-crds" / "templates"
NAMESPACE = "accelchain-system"
FUNCTION_TYPES = "function-types"
LICENSE = "# SPDX-License-Identifier: Apache-2.0\n"
DEADLINE_SECONDS = 300


class ManifestError(Exception):
    """Something can't be made; the message says what to do."""


def crd_templates() -> None:
    """Copy the CRDs into their chart: they survive the release, and Helm reads no template in their texts."""
    _empty(CRD_TEMPLATES)
    for source in sorted((MANIFESTS / "crds").glob("*.yaml")):
        text = re.sub(r"\{\{|\}\}", lambda braces: '{{ "' + braces[0] + '" }}', source.read_text(encoding="utf-8"))
        head, meta, rest = text.partition("\nmetadata:\n")
        if not meta:
            raise ManifestError(f"{source}: no line `metadata:`")
        keep = "  annotations:\n    helm.sh/resource-policy: keep\n"
        (CRD_TEMPLATES / source.name).write_text(head + meta + keep + rest, encoding="utf-8")


def function_types() -> None:
    """Write the type of every built-in function, as the laptop's API gets it, into the chart."""
    folder = CHART / "functiontypes"
    _empty(folder)
    builtin = ROOT / "runtime"
    for found in find():
        if not found.folder.is_relative_to(builtin):
            continue  # somebody's ACCELCHAIN_FUNCTIONS, or an installed package
        type = FunctionType.model_validate(found.manifest).to_dict()
        where = found.folder.relative_to(ROOT) / "functiontype.yaml"
        text = yaml.safe_dump(type, sort_keys=False, width=120, allow_unicode=True)
        header = f"{LICENSE}# Made by `make manifests` of {where}: change that one.\n"
        (folder / f"{found.name}.yaml").write_text(header + text, encoding="utf-8")


def values_table(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, default and description of every value that has a comment in a values.yaml, in its order."""
    values = yaml.safe_load(text)
    path: list[str] = []
    comment = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment = f"{comment} {stripped.lstrip('# ')}".strip()
        elif found := re.match(r"( *)([A-Za-z]\w*):", line):
            path[len(found[1]) // 2 :] = [found[2]]
            if comment:
                default: Any = values
                for key in path:
                    default = default[key]
                yield ".".join(path), json.dumps(default, ensure_ascii=False), comment
            comment = ""
        else:
            comment = ""


def readme() -> None:
    """Write the chart's README: its values."""
    rows = values_table((CHART / "values.yaml").read_text(encoding="utf-8"))
    lines = [f"| `{path}` | `{default}` | {description} |" for path, default, description in rows]
    (CHART / "README.md").write_text(
        "<!-- Made by `make manifests` of the comments in values.yaml. -->\n"
        "# Helm chart accelchain\n\n"
        "Operators, node agent, rights and the CRDs (a chart of their own inside, so that they are upgraded).\n"
        "How to install, and what each part is for: [docs/install.md](../../../docs/install.md).\n\n"
        "## Values\n\n"
        "What values.schema.json does not allow is refused with the value's path.\n\n"
        "| value | default | what it does |\n|---|---|---|\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )


def digest() -> str:
    """Return a digest of all that the rendered files are made of."""
    total = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(CHART).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def rendered_from() -> str:
    """Return the digest of the chart that install.yaml was rendered from; empty where there is none."""
    path = MANIFESTS / "install.yaml"
    found = re.search(r"^# chart: ([0-9a-f]{64})$", path.read_text(encoding="utf-8"), re.M) if path.exists() else None
    return found[1] if found else ""


def render() -> dict[str, list[str]]:
    """Return the chart's objects as YAML texts, by the template that they come from.

    Raises:
        ManifestError: Helm can't be had, or refuses the chart.
    """
    python = _run("sh", str(ROOT / "tools" / "helm_setup.sh")).strip()
    text = _run(
        str(ROOT / python), str(ROOT / "tools" / "helm.py"), "template", "accelchain", str(CHART),
        "--namespace", NAMESPACE, "--set", "namespace.create=true",
    )  # fmt: skip
    objects: dict[str, list[str]] = {}
    for document in re.split(r"^---\n", text, flags=re.M):
        if not document.strip():
            continue
        source, _, body = document.partition("\n")
        name = "crds" if "/accelchain-crds/" in source else Path(source).stem
        body = re.sub(r"\A(\s*|# .*\n)*", "", body)  # the licence of the template
        objects.setdefault(name, []).append(body.rstrip("\n") + "\n")
    return objects


def write_rendered(objects: Mapping[str, list[str]]) -> None:
    """Write what is applied without Helm. Types come after the CRDs are known, so they are files of their own."""
    header = f"{LICENSE}# Made by `make manifests` of charts/accelchain: change that.\n"
    marked = f"{header}# chart: {digest()}\n"
    kustomize = MANIFESTS / "kustomize"
    base, functions = kustomize / "base", kustomize / "functions"
    for folder in (base, functions):
        _empty(folder)
    for name, texts in objects.items():
        folder = functions if name == FUNCTION_TYPES else base
        (folder / f"{name}.yaml").write_text(header + _join(texts), encoding="utf-8")
    for folder in (base, functions):
        names = sorted(path.name for path in folder.glob("*.yaml"))
        kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
        text = yaml.safe_dump(kustomization, sort_keys=False)
        (folder / "kustomization.yaml").write_text(header + text, encoding="utf-8")
    install = [text for name, texts in objects.items() if name != FUNCTION_TYPES for text in texts]
    (MANIFESTS / "install.yaml").write_text(marked + _join(install), encoding="utf-8")
    (MANIFESTS / "functiontypes.yaml").write_text(header + _join(objects[FUNCTION_TYPES]), encoding="utf-8")


def _join(texts: list[str]) -> str:
    return "".join(f"---\n{text}" for text in texts)


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise ManifestError(f"{argv[0]} took more than {DEADLINE_SECONDS} s") from None
    if done.returncode:
        raise ManifestError(done.stderr.strip())
    return done.stdout


def main() -> int:
    """Make all; 1 where something can't be made."""
    try:
        crd_templates()
        function_types()
        readme()
        helm = (ROOT / ".venv-helm" / ".ready").exists()
        if helm or rendered_from() != digest():
            write_rendered(render())
        else:
            print("manifests: Helm is not at hand and the chart is the one that install.yaml was rendered from")
    except ManifestError as error:
        print(f"manifests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
