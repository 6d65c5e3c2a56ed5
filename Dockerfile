# Stepkeep as a container: Debian's Python, the pinned dependencies, an unprivileged user.
#
#   docker build --tag stepkeep .
#   docker build --tag stepkeep --build-arg REQUIREMENTS=requirements/server-export.txt .   # Excel, Parquet, SPSS, Stata too
#
# docs/operations.md describes its use; compose.yaml runs it with PostgreSQL and Redis.

ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
ARG REQUIREMENTS=requirements/server.txt
COPY requirements/ /build/requirements/
# Only what the lock file names, verified by hash. No bytecode: it would only enlarge the image.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /build/${REQUIREMENTS} \
    && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 stepkeep \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin stepkeep \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/stepkeep
COPY alembic.ini database.py gunicorn.conf.py wsgi.py ./
COPY alembic/ alembic/
COPY app/ app/
COPY surveys/ surveys/

# flask and alembic find wsgi.py and alembic.ini here: `docker run stepkeep flask sessions list`.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATABASE_URL=sqlite:////data/survey_sessions.db
VOLUME /data
EXPOSE 8000
USER 10001:10001
STOPSIGNAL SIGTERM
# /healthz, not /readyz: while the database is unavailable participants continue, so the container must not be restarted.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
CMD ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
