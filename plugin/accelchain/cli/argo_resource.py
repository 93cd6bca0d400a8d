# SPDX-License-Identifier: Apache-2.0
"""``accelchain argo resource FILE -o FILE``: our plugin templates become ``resource:`` templates."""

from __future__ import annotations

import click

from accelchain.argo.core.body import StepError, is_ours
from accelchain.argo.core.documents import Place, is_argo, templates
from accelchain.argo.core.resource import resource_template
from accelchain.argo.core.yaml_text import write
from accelchain.argo.lint.text import TextError, load
from accelchain.cli.argo_text import read_text, write_text
from accelchain.cli.errors import Refused


@click.command()
@click.argument("file")
@click.option("-o", "--output", default="-", show_default=True, help="File to write; - for standard output.")
def resource(file: str, output: str) -> None:
    """Rewrite plugin templates as resource templates: one Argo pod a step, and neither plugin nor operator."""
    try:
        documents = load(read_text(file), file)
    except TextError as error:
        raise Refused(str(error)) from None
    found = [
        (d, place) for d in documents if is_argo(d.value) for place in templates(d.value) if is_ours(place.template)
    ]
    if not found:
        raise Refused(f"{file}: there is no plugin template of accelchain in it; nothing to rewrite.")
    problems = [problem for document, place in found if (problem := _rewrite(place, f"{file}: {document.title}"))]
    if problems:
        raise Refused("\nError: ".join(problems))
    write_text(output, "-o", write([document.value for document in documents]))


def _rewrite(place: Place, source: str) -> str:
    """Put a resource template in a plugin template's place; return what is wrong, empty for nothing."""
    defaults = place.defaults
    if "plugin" in defaults:
        return f"{source}: templateDefaults.plugin: a resource template can't be made of it: move it to the templates."
    try:
        place.holder[place.key] = resource_template(place.template)
    except StepError as error:
        return f"{source} template {place.name}: {error}"
    return ""
