"""Metrics, traces and log lines.

The modules are imported one by one: prometheus_client must not be imported before ``multiprocess`` has set its folder.
"""
