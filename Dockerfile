# The environment, by the lock, with CUDA. With --build-arg TORCH_INDEX=URL torch comes from that index of packages
# instead (PyTorch's own has builds for CPUs, a tenth as large), and what else is needed by pyproject.toml's ranges.
# --build-arg EXTRAS=postgres,s3 adds what these of its extras need, by its ranges too. No constraint keeps what is locked:
# s3fs may want another fsspec.
FROM python:3.12-slim AS environment
ARG TORCH_INDEX=
ARG EXTRAS=
RUN python -m venv /venv
COPY requirements.lock pyproject.toml ./
RUN if [ -z "$TORCH_INDEX" ]; then \
      /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock; \
    else \
      /venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch && \
      /venv/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\\n')" \
        > needed.txt && /venv/bin/pip install --no-cache-dir -r needed.txt; \
    fi
RUN if [ -n "$EXTRAS" ]; then \
      /venv/bin/python -c "import os, tomllib; extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
        print(*(one for name in os.environ['EXTRAS'].split(',') for one in extras[name]), sep='\\n')" \
        > extras.txt && /venv/bin/pip install --no-cache-dir -r extras.txt; \
    fi

FROM python:3.12-slim
RUN useradd --system --uid 10001 spirale && install -d -o spirale /data
COPY --from=environment /venv /venv
WORKDIR /app
# What changes least comes first: a change of code copies a few kilobytes and no more. The service owns the
# checkpoints because weights that were trained on this machine may be readable by their owner alone.
COPY --chown=spirale checkpoints checkpoints
COPY model model
COPY service service
USER spirale
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SPIRALE_HOST=0.0.0.0 SPIRALE_PORT=8000 SPIRALE_LOG_FORMAT=json SPIRALE_JOBS_DIR=/data
EXPOSE 8000
# http.client, because urllib would ask a configured proxy for 127.0.0.1. A port that is no number is another's address.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD python -c "import http.client as h; \
  port = '$SPIRALE_PORT'; port = int(port) if port.isdigit() else 8000; \
  c = h.HTTPConnection('127.0.0.1', port, timeout=4); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"
CMD ["python", "-m", "service"]
