# Two images: api (small, no torch) and worker. Builds with BuildKit and with the classic builder.
#
# To pin the base by its digest: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
# (`docker image inspect -f '{{.RepoDigests}}' python:3.11-slim-bookworm` says which one you have).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OPTSERVE_HOME=/home/optserve \
    OPTSERVE_DATA=/data \
    OPTSERVE_STORAGE=/storage \
    OPTSERVE_RUN=/run/optserve \
    PATH=/opt/venv/bin:$PATH
# A new named volume takes the owner of the folder it is mounted on.
RUN groupadd --gid 10001 optserve \
 && useradd --uid 10001 --gid optserve --create-home --home-dir /home/optserve optserve \
 && install -d -o optserve -g optserve /data /storage /run/optserve /credentials
WORKDIR /app

# Everything but torch is installed by its SHA-256 (locks/, written by `make lock`), the tools that
# build the project's own two wheels too: optserve (the client, the command, optcore) and
# optserve-service. Environments are made in stages of their own, so that what pip leaves behind
# stays there: first what changes less often than the code.
FROM base AS wheels
COPY locks/build.txt locks/
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r locks/build.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . ./service

FROM base AS dependencies-api
COPY locks/api.txt locks/
RUN python -m venv /opt/venv && pip install --require-hashes -r locks/api.txt

FROM dependencies-api AS build-api
COPY --from=wheels /wheels /wheels
RUN pip install --no-index --no-deps /wheels/*.whl && pip check

# Before the worker's stages: the classic builder runs every stage above its target.
FROM base AS api
COPY --from=build-api /opt/venv /opt/venv
USER 10001:10001
EXPOSE 8000
ENV OPTSERVE_HOST=0.0.0.0
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
CMD ["python", "-m", "api.app"]

FROM dependencies-api AS dependencies-worker
# For CPU-only wheels of torch give PyTorch's CPU index: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL=
COPY locks/worker.txt locks/
RUN pip install --require-hashes -r locks/worker.txt
# By its version alone: its builds for processors and GPUs differ, and so do their hashes.
COPY constraints.txt ./
RUN pip install --constraint constraints.txt torch

FROM dependencies-worker AS build-worker
COPY --from=wheels /wheels /wheels
RUN pip install --no-index --no-deps /wheels/*.whl && pip check

FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker.main"]
