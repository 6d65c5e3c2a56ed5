"""Metrics, traces and log lines; prometheus_client must be imported after ``multiprocess`` has set its folder."""
