"""What the process shows of itself: metrics, traces, log lines."""
