# SPDX-License-Identifier: Apache-2.0
# Two commands for a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := pipelines/person-detection
OUT    ?= demo-output
BASE   ?= debian

.PHONY: demo test e2e e2e-argo smoke images lint bench bench-argo bench-kfp manifests lock clean help
help:               ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(READY)      ## find people in a clip: the chain of DESIGN, resources appearing, video with boxes
	@mkdir -p $(OUT)
	$(BIN)/accelchain run $(DEMO)/dataflow.yaml \
	  --output annotated=$(OUT)/annotated.mp4 --output detections=$(OUT)/detections.jsonl \
	  --graph $(OUT)/graph.svg --report $(OUT)/report.html

test: $(READY)      ## the whole test suite
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

images: $(READY)    ## build the container images without a daemon or a registry into build/images (BASE=debian or an image)
	$(BIN)/python tools/images.py --base $(BASE)

e2e: images         ## the end-to-end suite on a real Kubernetes on this machine (root, Go, Debian's packages)
	ACCELCHAIN_REALKUBE=1 $(BIN)/python -m pytest tests/realkube --ignore=tests/realkube/argo

e2e-argo: images    ## the same with the real Argo, whose binaries ACCELCHAIN_ARGO_CONTROLLER and ACCELCHAIN_ARGOEXEC name
	ACCELCHAIN_REALKUBE=1 $(BIN)/python -m pytest tests/realkube/argo

smoke: $(READY)     ## the part of it that continuous integration runs; skipped with the reason where it can't run
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(MAKE) --no-print-directory images; fi
	ACCELCHAIN_REALKUBE=1 $(BIN)/python -m pytest tests/realkube -m smoke

lint: $(READY)      ## ruff, mypy --strict, import contracts, drift of generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/component_readmes.py --check
	@$(MAKE) --no-print-directory manifests
	git diff --exit-code -- manifests docs/resources.md runtime/accelchain_runtime/engine/plan.schema.json

bench: $(READY)     ## figures, side by side in one run
	$(BIN)/python benchmarks/run.py

bench-argo: images  ## figures of workflows, with the real Argo
	$(BIN)/python benchmarks/argo.py
	$(BIN)/python benchmarks/argo_plugin.py
	$(BIN)/python benchmarks/argo_fuse.py

bench-kfp: $(READY) ## figures of pipelines, with kfp.local and KFP's backend emulated
	$(BIN)/python benchmarks/kfp_figures.py

manifests: $(READY) ## generate the CRDs, their page, the plan's schema, install.yaml and kustomize
	$(BIN)/python -m accelchain.api.crd manifests/crds
	$(BIN)/python -m accelchain.api.reference docs/resources.md
	$(BIN)/python -m accelchain_runtime.engine.plan
	$(BIN)/python tools/manifests.py

lock: $(READY)      ## pin the newest releases that fit (needs network)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.cfg --extra cpu --extra operators --extra argo --extra kfp --extra dev -c requirements/constraints.in --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements/lock.txt

clean:              ## remove what make made
	rm -rf $(VENV) .venv-helm $(OUT) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf plugin/*.egg-info *.egg-info

$(READY): requirements/lock.txt setup.cfg setup.py
	@sh tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@
