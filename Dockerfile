# Two images: api (small, no torch) and worker. Builds with BuildKit and with the classic builder.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OPTSERVE_HOME=/home/optserve \
    OPTSERVE_DATA=/data \
    OPTSERVE_STORAGE=/storage \
    PATH=/opt/venv/bin:$PATH
# A new named volume takes the owner of the folder it is mounted on.
RUN groupadd --gid 10001 optserve \
 && useradd --uid 10001 --gid optserve --create-home --home-dir /home/optserve optserve \
 && install -d -o optserve -g optserve /data /storage
WORKDIR /app

# Environments are made in stages of their own, so that what pip leaves behind stays there: first
# the dependencies (of a package without modules), which change less often than the code.
FROM base AS dependencies-api
RUN python -m venv /opt/venv && mkdir jobs && touch jobs/__init__.py
COPY pyproject.toml constraints.txt README.md ./
RUN pip install --constraint constraints.txt .

FROM dependencies-api AS build-api
COPY . .
RUN pip install --no-deps --force-reinstall .

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
RUN pip install --constraint constraints.txt '.[train]'

FROM dependencies-worker AS build-worker
COPY . .
RUN pip install --no-deps --force-reinstall .

FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker.main"]
