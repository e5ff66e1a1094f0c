# One image for every process; the command says which (compose.yaml).
FROM python:3.12-slim
WORKDIR /app
RUN useradd --create-home --uid 10001 syncservice
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY syncservice syncservice
COPY workers workers
COPY beat beat
ENV PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=syncservice.settings LOG_FORMAT=json
USER syncservice
CMD ["celery", "-A", "workers.app", "worker"]
